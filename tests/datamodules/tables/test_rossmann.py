import pytest

from src.datamodules.tables.rossmann import Rossmann
from tests.support.make_data import table_settings, write_rossmann
from tests.support.programs import composed

PAPER = {"target": "Sales", "task": "regression", "continuous": [], "dates": ["Date"], "target_scaling": "log"}


def rossmann(folder, categorical=("Store", "DayOfWeek", "Promo", "State"), **changes):
    usual = {**PAPER, "categorical": list(categorical), "date_parts": ["year", "month", "day"]}
    settings = table_settings(**(usual | changes))
    return Rossmann(data_dir=str(folder), folder="stores", cache_dir=str(folder / "cache"), **settings)


@pytest.fixture
def folder(tmp_path):
    write_rossmann(tmp_path / "stores")
    return tmp_path


def test_days_without_sales_are_left_out(folder):
    days = rossmann(folder).frames()["train"]
    assert len(days) == 3 * 26  # stores that sell, days of January's first 30 that are no Sunday
    assert days["Sales"].min() > 0


def test_each_day_knows_its_store(folder):
    days = rossmann(folder).frames()["train"]
    assert (days["CompetitionDistance"] == days["Store"] * 100).all()
    assert days.loc[days["Store"] == 3, "State"].unique().tolist() == ["HE"]


def test_the_features_are_the_papers(folder):
    config = composed("datamodule=rossmann").datamodule
    data = rossmann(folder)
    data.prepare_data()
    data.setup("fit")
    assert list(config.categorical) == data.columns["categorical"]
    assert list(data.spec["processing"]["categories"]) == [
        "Store",
        "DayOfWeek",
        "Promo",
        "State",
        "Date_year",
        "Date_month",
        "Date_day",
    ]
    assert data.spec["num_continuous"] == 0


def test_the_last_days_may_be_held_out(folder):
    data = rossmann(folder, split="time", split_column="Date", valid_from="2013-01-25", test_from="2013-01-29")
    data.prepare_data()
    data.setup("fit")
    assert {name: len(rows.targets) for name, rows in data.splits.items()} == {"train": 63, "valid": 9, "test": 6}


def test_without_states_all_else_can_be_used(folder):
    (folder / "stores" / "store_states.csv").unlink()
    assert "State" not in rossmann(folder, ["Store"]).frames()["train"]
    with pytest.raises(FileNotFoundError, match=r"lacks store_states\.csv; .* or leave State out of datamodule\.cat"):
        rossmann(folder).prepare_data()


def test_missing_files_are_named_with_their_origin(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"stores lacks train\.csv; put it there: train\.csv from .*kaggle"):
        rossmann(tmp_path).prepare_data()


def test_days_since_and_until_an_event_are_columns_if_they_are_asked_for(folder):
    plain = rossmann(folder).frames()["train"]
    data = rossmann(folder, continuous=["since_Promo", "until_StateHoliday"])
    days = data.frames()["train"]
    assert [name for name in days if name not in plain] == [
        *("since_Promo", "until_Promo", "since_StateHoliday", "until_StateHoliday")
    ]
    assert (days.loc[days["Promo"] == 1, "since_Promo"] == 0).all()
    assert (days.loc[days["Promo"] == 0, "since_Promo"] != 0).all()
    assert len(days) == len(plain)
