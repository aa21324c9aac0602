import urllib.error

import pytest

from src.datamodules.tables.adult import Adult
from tests.support.make_data import table_settings, write_adult
from tests.support.programs import composed


def adult(folder, **changes):
    settings = table_settings(target="income", dates=[], **changes)
    return Adult(data_dir=str(folder), cache_dir=str(folder / "cache"), **settings)


@pytest.fixture
def frames(tmp_path):
    write_adult(tmp_path / "adult")
    return adult(tmp_path).frames()


def test_the_official_files_are_train_and_test(frames):
    assert {name: len(frame) for name, frame in frames.items()} == {"train": 60, "test": 20}
    assert frames["train"].iloc[0, :5].tolist()[:2] == [17, "Private"]
    assert frames["train"]["income"].unique().tolist() == ["<=50K", ">50K"]


def test_the_dots_behind_the_labels_of_the_test_are_taken_off(frames):
    assert set(frames["test"]["income"]) == {"<=50K", ">50K"}


def test_a_question_mark_is_a_missing_value(frames):
    assert frames["train"]["workclass"].isna().sum() == 20
    assert "?" not in set(frames["train"]["workclass"])


def test_the_columns_in_conf_are_those_of_the_files(frames):
    config = composed("datamodule=adult").datamodule
    assert {*config.categorical, *config.continuous, config.target} == set(frames["train"])


def test_validation_rows_come_from_the_training_file(tmp_path):
    write_adult(tmp_path / "adult")
    data = adult(tmp_path)
    data.prepare_data()
    data.setup("fit")
    assert {name: len(rows.targets) for name, rows in data.splits.items()} == {"train": 45, "valid": 15, "test": 20}
    assert data.spec["class_names"] == ["<=50K", ">50K"]


def test_missing_files_are_fetched_from_their_official_address(tmp_path, monkeypatch):
    def refuse(request, timeout):
        raise urllib.error.URLError(f"no way to {request.full_url}")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    with pytest.raises(FileNotFoundError, match=r"lacks adult\.data, adult\.test, .*https://archive\.ics\.uci\.edu"):
        adult(tmp_path).prepare_data()
