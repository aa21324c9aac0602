import pandas as pd

from scripts.benchmark_scaling.data import PIECE, write_table, write_text


def test_a_table_has_as_many_rows_as_asked_for(tmp_path):
    write_table(tmp_path / "rows.csv", PIECE + 7)
    table = pd.read_csv(tmp_path / "rows.csv")
    assert len(table) == PIECE + 7
    assert [table[name].nunique() for name in ("shop", "product")] == [50, 1000]


def test_what_is_sold_follows_from_the_other_columns(tmp_path):
    write_table(tmp_path / "rows.csv", 40)
    table = pd.read_csv(tmp_path / "rows.csv")
    shop, product = (table[name].str[1:].astype(int) for name in ("shop", "product"))
    expected = shop / 50 + product / 1000 + table[["a", "b", "c"]].sum(axis=1)
    assert (table["sold"] - expected).abs().max() < 0.00051


def test_a_text_has_as_many_tokens_as_asked_for_in_lines_of_fifty(tmp_path):
    write_text(tmp_path / "a.txt", PIECE + 7)
    lines = (tmp_path / "a.txt").read_text().splitlines()
    assert [len(line.split()) for line in lines] == [50] * (PIECE // 50) + [7]


def test_few_words_are_frequent(tmp_path):
    write_text(tmp_path / "a.txt", PIECE)
    counts = pd.Series((tmp_path / "a.txt").read_text().split()).value_counts()
    assert counts.iloc[0] > 8 * counts.iloc[99]  # by Zipf's law, from rank 10 on: 109 / 10
    assert 15_000 < len(counts) < 30_000
