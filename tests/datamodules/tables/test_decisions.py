import pandas as pd

from src.datamodules.tables.columns import Decision
from src.datamodules.tables.decisions import show_decisions, warn_of_giveaways, write_decisions

PRICE = Decision("price", "left out", "always [3]")


def test_decisions_are_printed_within_80_columns(capsys):
    show_decisions([Decision("x" * 50, "categorical", "why " * 30), PRICE], None)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any("price" in line and "left out" in line and "always [3]" in line for line in lines)


def test_of_many_columns_one_line_tells_how_many_are_used(capsys, tmp_path):
    many = [Decision(f"c{number}", "categorical", "4 different values") for number in range(40)]
    show_decisions(
        [*many, PRICE, *(Decision(f"d{number}", "left out", "empty") for number in range(6))], tmp_path / "c"
    )
    assert capsys.readouterr().out == (
        "auto chose among 47 columns: 40 categorical, 7 left out: price (always [3]), d0 (empty), d1 (empty), "
        f"d2 (empty), d3 (empty) and 2 more; {tmp_path / 'c'} has each with its reason\n"
    )


def test_free_text_is_named_with_ways_to_use_it(capsys):
    show_decisions([Decision("review", "left out", "40 different texts in 90 rows: free text"), PRICE], None)
    told = capsys.readouterr().err
    assert "note: review: thousands of different texts, or sentences, are no categories" in told
    assert "datamodule.categorical=[...]" in told
    assert "datamodule=text_files" in told


def test_the_file_has_a_line_for_each_column(tmp_path):
    write_decisions(tmp_path / "columns.csv", [PRICE, Decision("=1+1", "dates", "dates")])
    assert pd.read_csv(tmp_path / "columns.csv").values.tolist() == [
        ["price", "left out", "always [3]"],
        ["'=1+1", "dates", "dates"],  # no formula in a spreadsheet
    ]


def test_a_column_that_gives_the_target_away_is_named(capsys):
    frame = pd.DataFrame({"grade": [*"abcd"] * 50, "x": range(200), "rate": [1.5, 2.5, 3.5, 4.5] * 50})
    warn_of_giveaways(frame, ["grade", "x"], ["rate"], "regression")
    assert capsys.readouterr().err == (
        "warning: rate can be read off grade (1.000) alone (1 is without error). Is it known before rate is? If not, "
        "leave it out: datamodule.ignored=[grade]\n"
    )
