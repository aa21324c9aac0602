import numpy as np
import pandas as pd
import pytest

from src.datamodules.tables.files import find_tables, read_chunks, read_table

FRAME = pd.DataFrame({"name": ["Ann", None, "Bob"], "size": [1, 2, 3], "share": [0.5, np.nan, 0.25]})
WRITE = {
    ".csv": lambda frame, path: frame.to_csv(path, index=False),
    ".parquet": lambda frame, path: frame.to_parquet(path),
    ".feather": lambda frame, path: frame.to_feather(path),
}
suffixes = pytest.mark.parametrize("suffix", list(WRITE))


def written(folder, suffix, frame=FRAME, name="a"):
    path = folder / f"{name}{suffix}"
    WRITE[suffix](frame, path)
    return path


def same(frame, expected):
    frame = frame.astype({name: kind for name, kind in expected.dtypes.items() if kind != "str"})
    pd.testing.assert_frame_equal(frame.reset_index(drop=True), expected, check_dtype=False)


@suffixes
def test_each_kind_of_file_gives_the_same_table(tmp_path, suffix):
    same(read_table([written(tmp_path, suffix)]), FRAME)


@suffixes
def test_several_files_are_one_table_in_the_order_of_their_names(tmp_path, suffix):
    for name, rows in (("b", slice(1, 3)), ("a", slice(0, 1))):
        written(tmp_path, suffix, FRAME[rows].reset_index(drop=True), name)
    same(read_table([tmp_path / f"*{suffix}"]), FRAME)


def test_a_file_that_two_patterns_name_is_read_once(tmp_path):
    path = written(tmp_path, ".csv")
    assert find_tables([path, tmp_path / "*.csv"]) == [path]


def test_a_name_may_hold_a_patterns_characters(tmp_path):
    assert find_tables([written(tmp_path, ".csv", name="a[1]")]) == [tmp_path / "a[1].csv"]


def test_rows_are_counted_from_one_and_know_their_file(tmp_path):
    frame = read_table([written(tmp_path, ".csv")])
    assert frame.index.tolist() == [1, 2, 3]
    assert frame.index.name == f"{tmp_path}/a.csv, row"


def test_an_index_with_a_name_is_a_column_and_row_numbers_are_none(tmp_path):
    FRAME.rename_axis("key").to_parquet(tmp_path / "a.parquet")
    FRAME[1:].to_parquet(tmp_path / "b.parquet")
    assert list(read_table([tmp_path / "a.parquet"])) == ["key", "name", "size", "share"]
    assert list(read_table([tmp_path / "b.parquet"])) == ["name", "size", "share"]


def test_a_column_that_is_text_in_one_csv_is_text_in_all(tmp_path):
    (tmp_path / "a.csv").write_text("code,n\n007,1\n")
    (tmp_path / "b.csv").write_text("code,n\nA12,2\n")
    frame = read_table([tmp_path / "*.csv"])
    assert frame["code"].tolist() == ["007", "A12"]
    assert frame["n"].tolist() == [1, 2]


def test_a_column_named_as_text_stays_as_it_stands(tmp_path):
    (tmp_path / "a.csv").write_text("code,n\n007,08\n")
    assert read_table([tmp_path / "a.csv"], text=["code", "other"]).values.tolist() == [["007", 8]]


@suffixes
def test_chunks_are_the_table_in_parts(tmp_path, suffix):
    chunks = list(read_chunks(written(tmp_path, suffix), 2))
    assert [len(chunk) for chunk in chunks] == [2, 1]
    same(pd.concat(chunks), FRAME)


@pytest.mark.parametrize("rows", [40_000, 140_000])
def test_chunks_may_be_smaller_or_larger_than_what_is_read_at_once(tmp_path, rows):
    frame = pd.DataFrame({"number": np.arange(150_000), "share": np.arange(150_000) / 8})
    for suffix in WRITE:
        chunks = list(read_chunks(written(tmp_path, suffix, frame), rows))
        assert [len(chunk) for chunk in chunks] == [rows] * (150_000 // rows) + [150_000 % rows]
        same(pd.concat(chunks), frame)


def test_cells_of_a_csv_are_text_in_chunks_whatever_stands_beside_them(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n01,2020-01-31\n x , NA\n,\n")
    frames = list(read_chunks(tmp_path / "a.csv", 2))
    assert frames[0].values.tolist() == [["01", "2020-01-31"], ["x", "NA"]]
    assert frames[1].isna().to_numpy().all()


def test_a_missing_file_is_named_with_the_one_that_was_meant(tmp_path):
    path = written(tmp_path, ".csv", name="sales")
    with pytest.raises(FileNotFoundError, match=rf"there is no file .*sale\.csv; did you mean '{path}'\?"):
        find_tables([tmp_path / "sale.csv"])


def test_a_pattern_without_files_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file .*\*\.parquet"):
        find_tables([tmp_path / "*.parquet"])


def test_another_kind_of_file_is_refused_with_those_there_are(tmp_path):
    (tmp_path / "a.xlsx").write_text("")
    with pytest.raises(ValueError, match=r"a\.xlsx is not a readable table: .* one of \.csv, .*, \.feather"):
        find_tables([tmp_path / "*"])


@suffixes
def test_files_with_other_columns_do_not_form_one_table(tmp_path, suffix):
    written(tmp_path, suffix)
    written(tmp_path, suffix, FRAME.rename(columns={"size": "width"}), "b")
    message = rf"a{suffix} and .*b{suffix} do not form one table: only one of them has the columns size, width"
    with pytest.raises(ValueError, match=message):
        read_table([tmp_path / "*"])


def test_a_column_of_two_types_is_refused_where_files_have_types(tmp_path):
    written(tmp_path, ".parquet")
    written(tmp_path, ".parquet", FRAME.assign(size=["S", "M", "L"]), "b")
    with pytest.raises(ValueError, match=r"a\.parquet and the files after it differ in the type of a column: .*size"):
        read_table([tmp_path / "*"])


@pytest.mark.parametrize("suffix", [".parquet", ".feather"])
@pytest.mark.parametrize("read", [lambda path: read_table([path]), lambda path: list(read_chunks(path, 2))])
def test_what_is_no_parquet_or_feather_is_damaged(tmp_path, suffix, read):
    path = tmp_path / f"a{suffix}"
    path.write_text("a,b\n1,2\n" * 100)
    with pytest.raises(ValueError, match=rf"a{suffix} is damaged: .*; write or fetch it again"):
        read(path)


@pytest.mark.parametrize("suffix", [".parquet", ".feather"])
def test_a_file_without_rows_is_empty(tmp_path, suffix):
    with pytest.raises(ValueError, match=rf"a{suffix} is empty"):
        read_table([written(tmp_path, suffix, FRAME[:0])])
