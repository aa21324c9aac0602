"""What each kind of data holds out, and that a checkpoint's held-out rows are scored, or none."""

import numpy as np
import pandas as pd
import pytest

from src.datamodules.held_out import check_same_rows, drawn
from src.datamodules.images.digits import Digits
from src.datamodules.images.folder import ImageFolder
from src.datamodules.tables.function import Function
from src.datamodules.tables.own import Table
from src.datamodules.text.files import TextFiles
from tests.support.make_data import folder_settings, image_settings, table_settings, text_settings, write_image_folder

TEXTS = {"folder": "", "column": None, "address": None, "checksums": {}, "published": None}
PEOPLE = pd.DataFrame({"a": np.arange(60) % 7, "day": np.arange(60), "y": np.arange(60) % 3 % 2})


@pytest.fixture
def make(tmp_path):
    """Makes a set, prepared and set up."""
    places = {"data_dir": str(tmp_path), "cache_dir": str(tmp_path / "cache")}

    def table(**changes):
        if not (tmp_path / "a.csv").exists():
            PEOPLE.to_csv(tmp_path / "a.csv", index=False)
        files = {"train_files": "a.csv", "valid_files": None, "test_files": None}
        columns = {"target": "y", "task": "binary", "categorical": [], "continuous": ["a"], "dates": []}
        return Table(**places, **table_settings(**{**files, **columns, "test_fraction": 0.2, **changes}))

    def function(**changes):
        formula = {"function": "x", "low": 0.0, "high": 1.0, "noise": 0.1, "rows": 50}
        columns = {"target": "y", "task": "regression", "categorical": [], "continuous": ["x"], "dates": []}
        return Function(cache_dir=places["cache_dir"], **formula, **table_settings(**columns, **changes))

    def text(**changes):
        if not (tmp_path / "a.txt").exists():
            (tmp_path / "a.txt").write_text("the cat sat on the mat\n" * 40)
        files = {"train_files": ["a.txt"], "valid_files": None, "test_files": None, "split": "documents"}
        fractions = {"valid_fraction": 0.1, "test_fraction": 0.1}
        return TextFiles(**places, **TEXTS, **text_settings(**{**files, **fractions, **changes}))

    def folder(**changes):
        if not (tmp_path / "train").exists():
            write_image_folder(tmp_path, rows={"train": 4}, size=(5, 6))
        return ImageFolder(**places, **folder_settings(folder="", image_size=5, **changes))

    kinds = {
        "digits": lambda **changes: Digits(
            test_fraction=changes.pop("test_fraction", 0.2), **image_settings(**changes)
        ),
        "folder": folder,
        "table": table,
        "function": function,
        "text": text,
    }

    def make(kind, **changes):
        data = kinds[kind](**changes)
        data.prepare_data()
        data.setup("test")
        return data

    return make


KINDS = ["digits", "folder", "table", "function", "text"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_data_hold_out_the_same_rows(make, kind):
    make(kind).load_state_dict(make(kind).state_dict())


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        ("digits", {"seed": 3}, r"the valid rows would be others .*: give datamodule.seed=0"),
        ("digits", {"test_fraction": 0.3}, "the valid rows .* give datamodule.test_fraction=0.2"),
        ("folder", {"seed": 3}, "the valid rows .* datamodule.seed=0"),
        ("table", {"seed": 3}, "the valid rows .* datamodule.seed=0"),
        ("table", {"valid_fraction": 0.3}, "the valid rows .* datamodule.valid_fraction=0.25"),
        ("table", {"split": "time", "split_column": "day"}, "datamodule.split=random datamodule.seed=0"),
        ("function", {"seed": 3}, "datamodule.seed=0"),
        ("digits", {"fold": 1}, "give datamodule.test_fraction=0.2 datamodule.fold=null$"),
        ("folder", {"fold": 1}, "the valid rows .* give datamodule.fold=null$"),
        ("table", {"fold": 1}, "the valid rows .* give datamodule.test_fraction=0.2 datamodule.fold=null$"),
        ("text", {"fold": 1}, "the valid rows .* give datamodule.fold=null$"),
        ("text", {"test_fraction": 0.2}, "the valid rows .* datamodule.test_fraction=0.1"),
        ("text", {"split": "end"}, "the valid rows .* give datamodule.split=documents datamodule.seed=0$"),
        ("text", {"seed": 1}, "the valid rows .* give datamodule.seed=0$"),
    ],
)
def test_another_way_to_hold_out_rows_is_refused(make, kind, change, words):
    saved = make(kind).state_dict()
    with pytest.raises(ValueError, match=words):
        make(kind, **change).load_state_dict(saved)


def test_a_training_that_did_not_say_how_held_out_the_end_of_a_text(make):
    saved = make("text", split="end").state_dict()
    with pytest.raises(ValueError, match=r"give datamodule.split=end$"):
        make("text").load_state_dict(saved)


@pytest.mark.parametrize("kind", KINDS)
def test_a_fold_is_scored_by_its_own_model_alone(make, kind):
    saved = make(kind, fold=1, num_folds=3).state_dict()
    make(kind, fold=1, num_folds=3).load_state_dict(saved)
    for other in ({"fold": 2, "num_folds": 3}, {}):
        with pytest.raises(ValueError, match=r"the valid rows .*: give datamodule.fold=1\b(?!.*null)"):
            make(kind, **other).load_state_dict(saved)


@pytest.mark.parametrize("kind", ["digits", "folder", "table", "function"])
def test_each_training_row_is_held_out_by_one_fold(make, kind):
    rows = [row for fold in range(3) for row in make(kind, fold=fold, num_folds=3).tested_rows()["row"]]
    count = {"digits": 1797, "folder": 40, "table": 60, "function": 50}[kind]
    assert sorted(rows) == list(range(1, count + 1))


def rename_a_file(folder):
    (folder / "train" / "cat" / "0000.png").rename(folder / "train" / "cat" / "zz.png")


def add_a_row(folder):
    pd.concat([PEOPLE, PEOPLE[:1]]).to_csv(folder / "a.csv", index=False)


def reverse(folder):
    PEOPLE[::-1].to_csv(folder / "a.csv", index=False)


def add_a_line(folder):
    with (folder / "a.txt").open("a") as file:
        file.write("the dog sat\n")


@pytest.mark.parametrize(
    ("kind", "change"), [("folder", rename_a_file), ("table", add_a_row), ("table", reverse), ("text", add_a_line)]
)
def test_data_that_have_changed_since_are_refused(make, tmp_path, kind, change):
    saved = make(kind).state_dict()
    change(tmp_path)
    with pytest.raises(ValueError, match="the data have changed since the checkpoint's training"):
        make(kind).load_state_dict(saved)


def test_rows_by_date_are_the_same_whatever_the_seed(make):
    choices = {"split": "time", "split_column": "day"}
    make("table", seed=3, **choices).load_state_dict(make("table", **choices).state_dict())


def test_rows_that_a_column_names_are_nobodys_choice(make, tmp_path):
    named = PEOPLE.assign(part=np.where(PEOPLE.day % 5 == 0, "valid", "train"))
    named.to_csv(tmp_path / "a.csv", index=False)
    assert make("table", split="column", split_column="part").held_out == {}


def test_files_of_ones_own_may_be_scored(make, tmp_path):
    (tmp_path / "b.txt").write_text("the cat sat\n" * 9)
    apart = {"valid_files": ["b.txt"], "test_files": ["b.txt"]}
    assert make("text", **apart).held_out == {}
    make("text", **apart).load_state_dict(make("text").state_dict())


def test_text_files_that_were_trained_on_are_not_scored(make, tmp_path):
    for name in "bc":
        (tmp_path / f"{name}.txt").write_text("the cat sat on the mat\n" * 9)
    choices = {"train_files": ["*.txt"], "valid_files": ["b.txt"], "tokenizer": "byte"}
    saved = make("text", test_files=["b.txt"], **choices).state_dict()
    with pytest.raises(ValueError, match=r"the valid rows .* datamodule.test_files=\['b.txt'\]"):
        make("text", test_files=["c.txt"], **choices).load_state_dict(saved)


def test_a_split_that_the_training_did_not_hold_out_is_refused(make, tmp_path):
    (tmp_path / "b.txt").write_text("the cat sat\n" * 9)
    saved = make("text", valid_files=["b.txt"], test_files=["b.txt"]).state_dict()
    with pytest.raises(ValueError, match="the valid rows would be taken from those that the checkpoint was trained on"):
        make("text").load_state_dict(saved)


def test_without_a_test_split_the_validation_rows_are_tested(make):
    held_out = make("folder").held_out
    assert held_out["test"] == held_out["valid"]


def test_only_the_splits_that_are_scored_matter():
    here = {"valid": drawn({"seed": 1}), "test": drawn({}, np.arange(3))}
    saved = {"valid": drawn({"seed": 2}), "test": drawn({}, np.arange(3))}
    check_same_rows(saved, here, ["test"])
    with pytest.raises(ValueError, match="the valid rows"):
        check_same_rows(saved, here, ["valid", "test"])


def test_an_older_checkpoint_says_nothing(make):
    make("digits").load_state_dict({})
