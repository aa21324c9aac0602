"""How images may lie, what is said of them, and what is said where they lie otherwise."""

import re

import numpy as np
import pytest
import torch

from src.datamodules.images.label_sources import FileNames, FolderNames, LabelTable
from src.datamodules.images.listing import list_folder


@pytest.fixture
def root(tmp_path):
    return tmp_path / "photos"


def put(root, *names):
    """Empty files: a listing does not read them."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def numbered(folder, count, suffix="jpg"):
    return [f"{folder}/{number}.{suffix}" for number in range(count)]


def table(root, text, **changes):
    root.mkdir(exist_ok=True, parents=True)
    (root / "labels.csv").write_text(text)
    choices = {"path_column": "path", "columns": ["label"], "split_column": None, "several": False}
    return LabelTable(root, "labels.csv", **{**choices, **changes})


def by_file(found):
    return {
        file: (split, label)
        for file, split, label in zip(found.files, found.splits, found.labels.tolist(), strict=True)
    }


def test_folders_of_classes_alone_are_all_to_train_on(root):
    put(root, *numbered("ants", 2), *numbered("bees", 3))
    found = list_folder(root, FolderNames())
    assert found.class_names == ["ants", "bees"]
    assert by_file(found) == {
        **{f"ants/{number}.jpg": ("train", 0) for number in range(2)},
        **{f"bees/{number}.jpg": ("train", 1) for number in range(3)},
    }


@pytest.mark.parametrize("valid", ["valid", "val", "validation", "dev", "Val", "DEV"])
@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("Train", "TEST")])
def test_splits_go_by_their_usual_names_in_any_case(root, train, valid, test):
    put(root, *(f"{split}/{name}/1.jpg" for split in (train, valid, test) for name in ("ants", "bees")))
    found = list_folder(root, FolderNames())
    assert by_file(found) == {
        f"{folder}/{name}/1.jpg": (split, label)
        for folder, split in ((train, "train"), (valid, "valid"), (test, "test"))
        for label, name in enumerate(("ants", "bees"))
    }


def test_folders_below_a_class_belong_to_it(root):
    put(root, "ants/red/1.jpg", "ants/red/big/2.jpg", "bees/3.jpg")
    assert by_file(list_folder(root, FolderNames())) == {
        "ants/red/1.jpg": ("train", 0),
        "ants/red/big/2.jpg": ("train", 0),
        "bees/3.jpg": ("train", 1),
    }


def test_a_regular_expression_finds_labels_in_names_at_any_depth(root):
    put(root, "great_pyrenees_12.jpg", "more/pug_3.jpg", "pug_4.png", "readme.jpg")
    found = list_folder(root, FileNames(r"^(.+)_\d+\."))
    assert found.class_names == ["great_pyrenees", "pug"]
    assert by_file(found) == {
        "great_pyrenees_12.jpg": ("train", 0),
        "more/pug_3.jpg": ("train", 1),
        "pug_4.png": ("train", 1),
    }
    assert found.left_out == "images that have a name that label_regex does not match: 1 (readme.jpg)"


def test_a_table_names_labels_and_splits(root):
    put(root, "a.jpg", "b/c.jpg", "d.jpg", "e.jpg")
    source = table(root, "path,label,split\na.jpg,cat,train\nb/c.jpg,dog,Train\nd.jpg,cat,val\n")
    found = list_folder(root, source)
    assert by_file(found) == {"a.jpg": ("train", 0), "b/c.jpg": ("train", 1), "d.jpg": ("valid", 0)}
    assert found.left_out == "images that have no label in labels.csv: 1 (e.jpg)"


def test_without_a_column_of_splits_folders_are_the_splits(root):
    put(root, "train/a.jpg", "train/b.jpg", "test/c.jpg", "test/d.jpg")
    found = list_folder(root, table(root, "path,label\ntrain/a.jpg,cat\ntrain/b.jpg,dog\ntest/c.jpg,dog\n"))
    assert by_file(found) == {"train/a.jpg": ("train", 0), "train/b.jpg": ("train", 1), "test/c.jpg": ("test", 1)}


def test_several_labels_in_a_cell_are_columns_of_0_and_1(root):
    put(root, "a.jpg", "b.jpg", "c.jpg")
    source = table(root, "path,label\na.jpg,sun; sea\nb.jpg,\nc.jpg,sea\n", several=True)
    found = list_folder(root, source, "multilabel", ";")
    assert found.class_names == ["sea", "sun"]
    assert by_file(found) == {"a.jpg": ("train", [1, 1]), "b.jpg": ("train", [0, 0]), "c.jpg": ("train", [1, 0])}
    assert found.labels.dtype == torch.float32


def test_several_rows_of_a_file_are_its_labels(root):
    put(root, "a.jpg", "b.jpg")
    source = table(root, "path,label\na.jpg,sun\nb.jpg,sea\na.jpg,sea\n", several=True)
    assert by_file(list_folder(root, source, "multilabel")) == {"a.jpg": ("train", [1, 1]), "b.jpg": ("train", [1, 0])}


def test_a_column_for_each_label_holds_0_and_1(root):
    put(root, "a.jpg", "b.jpg")
    source = table(root, "path,sun,sea\na.jpg,1,0\nb.jpg,1,1\n", columns=["sun", "sea"])
    found = list_folder(root, source, "multilabel")
    assert found.class_names == ["sun", "sea"]
    assert by_file(found) == {"a.jpg": ("train", [1, 0]), "b.jpg": ("train", [1, 1])}


def test_numbers_are_the_labels_of_a_regression(root):
    put(root, "a.jpg", "b.jpg", "c.jpg")
    source = table(root, "path,age,weight\na.jpg,3,1.5\nb.jpg,40,-2e1\nc.jpg,,3\n", columns=["age", "weight"])
    found = list_folder(root, source, "regression")
    assert found.class_names == ["age", "weight"]
    assert by_file(found) == {"a.jpg": ("train", [3, 1.5]), "b.jpg": ("train", [40, -20])}
    assert found.chosen == "labels in labels.csv; 2 images, age from 3 to 40, weight from -20 to 1.5; train 2"
    assert found.left_out == "images that have no label in labels.csv: 1 (c.jpg)"


def test_numbers_may_stand_in_names_or_be_the_names_of_folders(root):
    put(root, "12/a_3.jpg", "1.5/b_4.jpg")
    assert by_file(list_folder(root, FolderNames(), "regression")) == {
        "12/a_3.jpg": ("train", [12]),
        "1.5/b_4.jpg": ("train", [1.5]),
    }
    found = list_folder(root, FileNames("_(?P<age>[0-9]+)"), "regression")
    assert found.class_names == ["age"]
    assert by_file(found) == {"12/a_3.jpg": ("train", [3]), "1.5/b_4.jpg": ("train", [4])}


def test_files_are_in_the_order_that_older_checkpoints_know(root):
    """They hold out rows by their number: by class, then by name, then mixed with a fixed seed in each split."""
    in_order = [*numbered("train/cat", 4), *numbered("train/cat-big", 3), *numbered("train/dog", 5)]
    tested = [*numbered("test/cat", 2), *numbered("test/cat-big", 2), *numbered("test/dog", 2)]
    put(root, *tested, *reversed(in_order))
    expected = [names[n] for names in (in_order, tested) for n in np.random.default_rng(0).permutation(len(names))]
    assert list_folder(root, FolderNames()).files == expected


def test_the_order_of_files_is_not_that_of_a_tables_rows(root):
    put(root, *numbered(".", 6))
    lines = [f"{number}.jpg,{'ab'[number % 2]},{'train' if number < 4 else 'valid'}" for number in range(6)]
    found = [
        list_folder(root, table(root, "\n".join(["path,label,split", *each]))).files for each in (lines, lines[::-1])
    ]
    assert found[0] == found[1]


def test_one_line_says_what_was_chosen_and_one_what_is_left_out(root, capsys):
    put(root, *numbered("train/ants", 2), *numbered("train/bees", 3), *numbered("Val/bees", 1))
    put(root, "train/a.jpg", "train/b.jpg", "train/c.jpg", "readme.md", "extra/a.jpg", "masks/b.jpg", ".x/c.jpg")
    list_folder(root, FolderNames()).tell()
    out, err = capsys.readouterr()
    assert out == f"{root}: train/CLASS/*.jpg; 6 images of 2 classes: ants 2, bees 4; train 5, valid 1\n"
    assert err == (
        f"note: {root}: left out: 1 .md (readme.md); images that lie in no class folder: 3 (train/a.jpg, train/b.jpg, "
        "...); the folders extra, masks beside train, Val\n"
    )


def test_two_spellings_of_a_name_are_one_class_which_is_told(root):
    put(root, "\u00e9lan/1.jpg", "e\u0301lan/2.jpg", "cat/3.jpg")
    found = list_folder(root, FolderNames())
    assert found.class_names == ["cat", "\u00e9lan"]
    assert found.chosen.endswith("train 3; \u00e9lan in two spellings of Unicode, taken as one class")


def test_nothing_left_out_needs_no_line(root, capsys):
    put(root, "ants/1.jpg", "bees/1.jpg")
    list_folder(root, FolderNames()).tell()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["a.jpg", "b.jpg"], "photos holds 0 folders with images, and the files a.jpg, b.jpg; expected in"),
        (["ants/a.jpg", "notes/a.txt"], r"photos holds 1 folder with images (ants), 1 without; expected in"),
        (
            ["pets/train/ants/a.jpg", "pets/train/bees/b.jpg"],
            "photos holds 1 folder with images (pets) (train lies in {root}/pets: is that the folder?); expected",
        ),
        (["test/ants/a.jpg", "bees/b.jpg"], "photos has a folder test but no train; expected: train/CLASS/*.jpg"),
        (["train/a.jpg", "labels.csv"], "photos/train holds 0 folders with images, and the files a.jpg; expected in"),
        (["train/ants/a.heic", "train/bees/b.jpg"], "train/ants holds no images; there are 1 .heic (ants/a.heic)"),
    ],
)
def test_another_layout_is_described(root, files, words):
    put(root, *files)
    with pytest.raises((FileNotFoundError, ValueError), match=re.escape(words.format(root=root))) as raised:
        list_folder(root, FolderNames())
    assert "\n" not in str(raised.value)


def test_a_folder_that_is_not_there_is_told_with_the_layouts(root):
    with pytest.raises(FileNotFoundError, match=r"no folder .*photos; expected there: train/CLASS/\*.jpg"):
        list_folder(root, FolderNames())


def test_an_archive_is_told(root):
    put(root.parent, "photos")
    with pytest.raises(FileNotFoundError, match="photos is not a folder, and archives are not unpacked; expected"):
        list_folder(root, FolderNames())


def test_names_that_no_expression_matches_are_told(root):
    put(root, "a.jpg", "b.jpg")
    with pytest.raises(FileNotFoundError, match=r"all 2 images have a name that label_regex does not match: .*photos"):
        list_folder(root, FileNames("(x)_"))


def test_two_folders_of_one_split_are_refused(root):
    put(root, "train/ants/1.jpg", "val/ants/1.jpg", "valid/ants/1.jpg")
    with pytest.raises(ValueError, match="photos must hold one valid split, got val, valid"):
        list_folder(root, FolderNames())


def test_a_class_that_train_lacks_is_told(root):
    put(root, "train/ants/1.jpg", "train/bees/1.jpg", "test/wasps/1.jpg")
    with pytest.raises(ValueError, match="test has classes that train lacks: wasps"):
        list_folder(root, FolderNames())


@pytest.mark.parametrize("task", ["regression", "multilabel"])
def test_what_is_not_a_number_is_named_with_its_file(root, task):
    put(root, "a.jpg", "b.jpg")
    source = table(root, "path,age,sun\na.jpg,3,1\nb.jpg,old,0\n", columns=["age", "sun"])
    with pytest.raises(ValueError, match=r"the labels of b.jpg must be numbers, got age=old, sun=0"):
        list_folder(root, source, task)


def test_a_class_is_one_label(root):
    put(root, "a.jpg", "b.jpg")
    source = table(root, "path,age,sun\na.jpg,3,1\nb.jpg,4,0\n", columns=["age", "sun"])
    with pytest.raises(ValueError, match="task=classification needs one label for each image, got age, sun"):
        list_folder(root, source)
