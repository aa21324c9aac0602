import gzip
import lzma
import zipfile
from pathlib import Path

import pytest

from src.datamodules.tables.files import read_chunks, read_table

TEXT = "name,size,born\nAnn,1,2020-01-31\nBob,2.5,\n"
COMPRESS = {".gz": gzip.compress, ".xz": lzma.compress, "": bytes}


def write(folder, content, name="a.csv"):
    path = Path(folder, name)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def zipped(folder, *names):
    with zipfile.ZipFile(folder / "a.csv.zip", "w") as archive:
        for name in names:
            archive.writestr(name, TEXT)
    return folder / "a.csv.zip"


@pytest.mark.parametrize("suffix", list(COMPRESS))
def test_a_file_may_be_compressed(tmp_path, suffix):
    frame = read_table([write(tmp_path, COMPRESS[suffix](TEXT.encode()), f"a.csv{suffix}")])
    assert frame["name"].tolist() == ["Ann", "Bob"]
    assert frame["size"].tolist() == [1, 2.5]


def test_a_zip_holds_one_table_and_what_macs_add(tmp_path):
    assert len(read_table([zipped(tmp_path, "a.csv", "__MACOSX/._a.csv")])) == 2


def test_a_zip_of_several_tables_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a\.csv\.zip must hold one \.csv, got a\.csv, b\.csv; unpack it"):
        read_table([zipped(tmp_path, "a.csv", "b.csv")])


@pytest.mark.parametrize("separator", list(",;|\t"))
def test_the_separator_is_found(tmp_path, separator):
    frame = read_table([write(tmp_path, TEXT.replace(",", separator))])
    assert list(frame) == ["name", "size", "born"]


def test_numbers_dates_truths_and_text_are_told_apart(tmp_path):
    frame = read_table([write(tmp_path, "a,b,c,d,e\n1,1.5,2020-01-31,true,x\n2,2,2020-02-01,false,1\n")])
    assert [values.dtype.kind for _, values in frame.items()][:4] == ["i", "f", "M", "b"]
    assert frame["e"].tolist() == ["x", "1"]


def test_a_number_far_below_text_is_read_as_text(tmp_path):
    frame = read_table([write(tmp_path, "a\n" + "1\n" * 300_000 + "x\n")])
    assert frame["a"].iloc[[0, -1]].tolist() == ["1", "x"]


def test_quoted_values_may_hold_separators_quotes_and_line_ends(tmp_path):
    frame = read_table([write(tmp_path, 'a,b\n1,"x, ""y""\nz"\n')])
    assert frame["b"].tolist() == ['x, "y"\nz']


def test_cells_may_be_longer_than_a_megabyte(tmp_path):
    long = "word " * 500_000
    frame = read_table([write(tmp_path, f'a,b\n1,"{long}\nend"\n')])
    assert frame["b"].tolist() == [f"{long}\nend"]


def test_blanks_around_cells_and_names_do_not_count(tmp_path):
    frame = read_table([write(tmp_path, "a , b\n x, 1\n  ,2 \n")])
    assert frame["a"].isna().tolist() == [False, True]
    assert frame["b"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ("1,NA,3", "f"),
        ("1,nan,2.5", "f"),
        ("+1,-2", "i"),
        ("0x1F,1", "O"),
        ("true,NA,FALSE", "O"),
        ("2020-01-31,None", "M"),
        ("2020-01-31,x", "O"),
        ("07:30,12:00", "O"),
        ("12345678901234567890,1", "O"),
        ("NA,NA", "O"),
    ],
)
def test_marks_of_missing_values_leave_a_column_its_kind(tmp_path, cells, kind):
    frame = read_table([write(tmp_path, "a;b\n" + "".join(f"{cell};x\n" for cell in cells.split(",")))])
    assert frame["a"].dtype.kind == kind


def test_dates_stay_text_where_their_format_is_given(tmp_path):
    frame = read_table([write(tmp_path, "a,b\n2020-05-01,1\n")], date_format="%Y-%d-%m")
    assert frame["a"].tolist() == ["2020-05-01"]


def test_columns_without_a_name_are_left_out(tmp_path):
    assert list(read_table([write(tmp_path, ",a,\n0,5,\n1,6,\n")])) == ["a"]


def test_the_mark_of_some_editors_is_no_part_of_a_name(tmp_path):
    assert list(read_table([write(tmp_path, b"\xef\xbb\xbfa,b\n1,2\n")])) == ["a", "b"]


READERS = [lambda path: read_table([path]), lambda path: list(read_chunks(path, 2))]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("row", ["3", "3,4,5"])
def test_a_row_of_another_length_is_named_by_file_and_line(tmp_path, read, row):
    path = write(tmp_path, f'a,b\n1,"x\ny"\n\n{row}\n5,6\n')
    with pytest.raises(ValueError, match=rf"a\.csv, line 5: {row.count(',') + 1} values, but the header has 2 columns"):
        read(path)


@pytest.mark.parametrize("text", ['a,b\n1,2\n3,"4\n5,6\n', 'a,b\n1,2\n"3,4\n5,6\n'])
def test_a_quote_that_is_never_closed_is_named_by_its_line(tmp_path, text):
    with pytest.raises(ValueError, match=r"a\.csv, line 3: .*is a quote missing\?"):
        read_table([write(tmp_path, text)])


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("text", ["", "a,b\n"])
def test_a_file_without_rows_is_empty(tmp_path, read, text):
    with pytest.raises(ValueError, match=r"a\.csv is empty"):
        read(write(tmp_path, text))


@pytest.mark.parametrize("read", READERS)
def test_a_column_that_comes_twice_is_refused(tmp_path, read):
    with pytest.raises(ValueError, match=r"a\.csv has several columns named a; rename all but one"):
        read(write(tmp_path, "a,b,a\n1,2,3\n"))


@pytest.mark.parametrize("text", ["a,b\n1,caf\xe9\n", "a,caf\xe9\n1,2\n"])
def test_another_encoding_is_refused_with_the_way_to_utf_8(tmp_path, text):
    with pytest.raises(ValueError, match=r"a\.csv is not UTF-8, it holds a byte 0xe9; convert it, e\.g\. iconv"):
        read_table([write(tmp_path, text.encode("latin1"))])


@pytest.mark.parametrize("suffix", [".gz", ".xz"])
def test_a_file_that_was_cut_is_damaged(tmp_path, suffix):
    content = COMPRESS[suffix](TEXT.encode() * 1000)[:-20]
    with pytest.raises(ValueError, match=rf"a\.csv{suffix} is damaged"):
        read_table([write(tmp_path, content, f"a.csv{suffix}")])
