import pytest

from src.datamodules.images.label_sources import FileNames, FolderNames, ImageFile, Labelled, LabelTable


def images(*files):
    return [ImageFile(file, None, file) for file in files]


@pytest.fixture
def make(tmp_path):
    """Makes the table of a text beside files."""

    def make(text, *files, encoding="utf-8", **changes):
        for file in files:
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).touch()
        (tmp_path / "labels.csv").write_bytes(text.encode(encoding))
        choices = {"path_column": "path", "columns": ["label"], "split_column": None, "several": False}
        return LabelTable(tmp_path, "labels.csv", **{**choices, **changes})

    return make


def test_a_folder_names_what_lies_in_it_and_nothing_else():
    found = FolderNames().find(
        [ImageFile("train/a/b/1.jpg", "train", "a/b/1.jpg"), ImageFile("train/1.jpg", "train", "1.jpg")]
    )
    assert found == [Labelled("train/a/b/1.jpg", "train", ("a",))]


def test_an_expression_looks_at_the_name_alone():
    assert FileNames("^(.)").find(images("cat/x.jpg", "y.jpg")) == [
        Labelled("cat/x.jpg", None, ("x",)),
        Labelled("y.jpg", None, ("y",)),
    ]


def test_named_groups_are_columns():
    source = FileNames(r"(?P<age>\d+)_(?P<weight>\d+)")
    assert source.columns == ["age", "weight"]
    assert source.find(images("3_40.jpg"))[0].texts == ("3", "40")


@pytest.mark.parametrize("pattern", ["abc", "(a)(b)", "(?P<a>x)(b)"])
def test_an_expression_without_a_label_is_refused(pattern):
    with pytest.raises(ValueError, match="label_regex must have one group, the label"):
        FileNames(pattern)


def test_what_is_not_an_expression_is_refused():
    with pytest.raises(ValueError, match=r"label_regex is not a regular expression, .* got \(x"):
        FileNames("(x")


@pytest.mark.parametrize(
    ("path", "file"),
    [
        ("a/1.jpg", "a/1.jpg"),
        ("./a/1.jpg", "a/1.jpg"),
        ("a\\1.jpg", "a/1.jpg"),
        (" a/1.jpg ", "a/1.jpg"),
        ("1.jpg", "a/1.jpg"),
        ("1", "a/1.jpg"),
        ("photos/a/1.jpg", "a/1.jpg"),
        ("b.c", "b.c.jpg"),
        ("x/2.jpg", "x/2.jpg"),  # not there: it counts as a file that cannot be read
    ],
)
def test_a_path_is_below_the_root_or_a_name_that_only_one_file_has(make, path, file):
    found = make(f"path,label\n{path},cat\n", "a/1.jpg").find(images("a/1.jpg", "b.c.jpg"))
    assert found == [Labelled(file, None, ("cat",))]


def test_an_absolute_path_below_the_root_will_do(make, tmp_path):
    found = make(f"path,label\n{tmp_path}/a/1.jpg,cat\n", "a/1.jpg").find(images("a/1.jpg"))
    assert found[0].file == "a/1.jpg"


def test_a_name_that_two_files_have_is_refused(make):
    with pytest.raises(ValueError, match=r"1.jpg may be a/1.jpg, b/1.jpg: the paths of a table .* must be below"):
        make("path,label\n1.jpg,cat\n").find(images("a/1.jpg", "b/1.jpg"))


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_table_is_read_as_programs_write_it(make, delimiter, encoding):
    text = "path,label\r\na.jpg,chêne\r\n\r\n".replace(",", delimiter)
    assert make(text, encoding=encoding).find(images("a.jpg")) == [Labelled("a.jpg", None, ("chêne",))]


def test_a_cell_in_quotes_may_hold_anything(make):
    assert make('path,label\na.jpg,"$a, ""b""\nc"\n').find(images("a.jpg"))[0].texts == ('$a, "b"\nc',)


@pytest.mark.parametrize(
    ("word", "split"),
    [("train", "train"), ("Valid", "valid"), ("dev", "valid"), ("TEST", "test"), ("True", "valid"), ("0", "train")],
)
def test_a_column_names_the_split(make, word, split):
    source = make(f"path,label,is_valid\na.jpg,cat,{word}\n", split_column="is_valid")
    assert source.find([ImageFile("a.jpg", "test", "a.jpg")])[0].split == split


def test_an_unknown_split_is_told_with_its_line(make):
    source = make("path,label,split\na.jpg,cat,train\nb.jpg,cat,holdout\n")
    with pytest.raises(ValueError, match=r"labels.csv, line 3: split must be train, valid or test.*got 'holdout'"):
        source.find(images("a.jpg", "b.jpg"))


def test_rows_that_say_the_same_are_one(make):
    assert len(make("path,label\na.jpg,cat\na.jpg,cat\n").find(images("a.jpg"))) == 1


def test_rows_that_differ_are_refused(make):
    with pytest.raises(ValueError, match=r"labels.csv has rows of a.jpg that differ: .*cat.*dog"):
        make("path,label\na.jpg,cat\na.jpg,dog\n").find(images("a.jpg"))


def test_one_file_is_in_one_split(make):
    source = make("path,label,split\na.jpg,cat,train\na.jpg,dog,test\n", several=True)
    with pytest.raises(ValueError, match=r"rows of a.jpg that differ"):
        source.find(images("a.jpg"))


def test_a_row_without_a_label_has_none(make):
    assert make("path,label\na.jpg,\n").find(images("a.jpg")) == []
    assert make("path,label\na.jpg,\n", several=True).find(images("a.jpg"))[0].texts == ("",)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"columns": ["lable"]}, r"no column lable; did you mean label\? \(datamodule.path_column"),
        ({"path_column": "file"}, "no column file; it has path, label"),
        ({"split_column": "fold"}, "no column fold"),
    ],
)
def test_a_column_that_is_not_there_is_told(make, changes, words):
    with pytest.raises(ValueError, match=words):
        make("path,label\na.jpg,cat\n", **changes)


def test_a_table_that_is_not_there_or_not_text_is_told(make, tmp_path):
    with pytest.raises(ValueError, match=r"labels.csv is not a CSV in UTF-8"):
        make("path,label\na.jpg,café\n", encoding="latin-1")
    with pytest.raises(FileNotFoundError, match=r"there is no file .*none.csv, which datamodule.labels names"):
        LabelTable(tmp_path, "none.csv", path_column="a", columns=["b"], split_column=None, several=False)
