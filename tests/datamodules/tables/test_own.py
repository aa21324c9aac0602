import os

import pandas as pd
import pytest

from src.core.check import check
from src.datamodules.tables.own import Table
from tests.support.make_data import table_settings
from tests.support.programs import composed


@pytest.fixture
def make(tmp_path):
    """Makes the set of files in tmp_path/data, prepared and set up."""

    def make(train_files, valid_files=None, test_files=None, **changes):
        files = {"train_files": train_files, "valid_files": valid_files, "test_files": test_files}
        folders = {"data_dir": str(tmp_path / "data"), "cache_dir": str(tmp_path / "cache")}
        data = Table(**folders, **files, **table_settings(**changes))
        data.prepare_data()
        data.setup("fit")
        return data

    return make


@pytest.fixture
def write(tmp_path):
    def write(name, rows, codes=("01", "x")):
        frame = pd.DataFrame({"code": [codes[row % len(codes)] for row in range(rows)], "size": range(rows)})
        frame["target"] = frame["size"] % 2
        (tmp_path / "data").mkdir(exist_ok=True)
        frame.to_csv(tmp_path / "data" / name, index=False)

    return write


def sizes(data):
    return {name: len(rows.targets) for name, rows in data.splits.items()}


def test_one_file_is_split_by_fractions(make, write):
    write("a.csv", 80)
    data = make("a.csv")
    assert data.set_name == "a"
    assert sizes(data) == {"train": 50, "valid": 20, "test": 10}


def test_several_names_and_patterns_are_one_table(make, write):
    for name in ("a.csv", "b1.csv", "b2.csv"):
        write(name, 16)
    assert sum(sizes(make(["a.csv", "b*.csv"])).values()) == 48


def test_splits_may_have_files_of_their_own(make, write):
    for name, rows in (("train.csv", 16), ("v.csv", 6), ("t.csv", 4)):
        write(name, rows)
    assert sizes(make("train.csv", "v.csv", "t.csv")) == {"train": 16, "valid": 6, "test": 4}
    assert sizes(make("train.csv", test_files=["t.csv"])) == {"train": 12, "valid": 4, "test": 4}


def test_files_of_other_splits_are_not_trained_on(make, write):
    for name, rows in (("a.csv", 16), ("b.csv", 6)):
        write(name, rows)
    assert sizes(make("*.csv", "b.csv", test_fraction=0))["train"] == 16


def test_files_and_a_column_may_not_both_name_the_splits(make):
    with pytest.raises(ValueError, match="both name held-out rows"):
        make("a.csv", "b.csv", split="column", split_column="code")


def test_a_whole_path_leads_out_of_data_dir(make, write, tmp_path):
    write("a.csv", 16)
    (tmp_path / "data" / "a.csv").rename(tmp_path / "a.csv")
    assert sum(sizes(make(str(tmp_path / "a.csv"))).values()) == 16


def test_what_is_text_in_training_is_text_in_other_files(make, write):
    write("train.csv", 16)
    write("v.csv", 6, codes=("01",))
    data = make("train.csv", "v.csv", categorical=["code"], continuous=["size"], dates=[], test_fraction=0)
    code = ["<missing>", "<unknown>", *data.spec["processing"]["categories"]["code"]].index("01")
    assert data.splits["valid"].categories.tolist() == [[code]] * 6


def test_a_changed_file_is_read_anew(make, write):
    write("a.csv", 16)
    make("a.csv")
    write("a.csv", 32)
    assert sum(sizes(make("a.csv")).values()) == 32


def test_a_twin_of_the_same_name_size_and_time_is_read_anew(make, tmp_path):
    (tmp_path / "data").mkdir()
    file = tmp_path / "data" / "a.csv"
    for name in ("x", "y"):
        file.write_text("code,target\n" + f"{name},0\n{name}{name},1\n" * 20)
        os.utime(file, ns=(0, 7))
        data = make("a.csv", categorical=["code"], continuous=[], dates=[])
        assert set(data.spec["processing"]["categories"]["code"]) == {name, name * 2}


def test_a_missing_file_is_named(make, write):
    write("sales.csv", 16)
    with pytest.raises(FileNotFoundError, match=r"there is no file .*data/sale\.csv; did you mean '.*sales\.csv'"):
        make("sale.csv")


@pytest.mark.parametrize(
    "choice", ["adult", "flights", "diabetes", "rossmann", "table datamodule.train_files=a.csv datamodule.target=b"]
)
def test_the_configs_fit_the_code(choice, tmp_path):
    name, *overrides = choice.split()
    task = ["datamodule.task=binary"] if name == "table" else []
    check(composed(f"datamodule={name}", *overrides, *task, f"run_dir={tmp_path}"))
