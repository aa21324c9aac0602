import numpy as np
import pandas as pd
import pytest

from src.report.tables.columns import MISSING, Number, table_columns
from src.report.tables.net import read_rows
from tests.support.small_table import frame_of, table_of


def texts_of(data):
    """The text of each column in each row to test on."""
    rows, _ = read_rows(data, 1000)
    columns = table_columns(data.spec["processing"])
    pairs = list(zip(rows.categories.numpy(), rows.continuous.numpy(), strict=True))
    return {column.name: [column.text(*pair) for pair in pairs] for column in columns}


def test_all_values_of_the_file_come_back(tmp_path):
    found = texts_of(table_of(tmp_path))
    there = frame_of(400).iloc[[int(number) for number in found["id"]]]
    assert found["town"] == there["town"].fillna(MISSING).tolist()
    assert found["open"] == there["open"].tolist()
    assert found["size"] == [MISSING if np.isnan(size) else f"{size:g}" for size in there["size"]]
    assert found["day"] == [f"{day:%Y-%m-%d}" for day in there["day"]]


def test_numbers_that_were_scaled_by_rank_come_back_within_the_training_rows_range(tmp_path):
    quantiles = table_of(tmp_path, continuous_scaling="quantile")
    found, expected = (texts_of(data)["size"] for data in (quantiles, table_of(tmp_path)))
    fitted = quantiles.spec["processing"]["continuous"]["size"]["quantiles"]
    pairs = [pair for pair in zip(found, expected, strict=True) if MISSING not in pair]
    assert found.count(MISSING) == expected.count(MISSING) > 0
    for text, exact in pairs:
        assert float(text) == pytest.approx(np.clip(float(exact), fitted[0], fitted[-1]), rel=1e-4)


def test_a_rounded_number_has_the_digits_of_the_file():
    number = Number("fnlwgt", 0, None, {"mean": 189778.37, "std": 105549.98})
    scaled = np.float32((226802 - 189778.37) / 105549.98)
    assert number.text(float(scaled)) == "226802"
    assert number.text(float(np.float32(-189778.37 / 105549.98))) == "0"


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (["elapsed"], "2020-03-07"),
        (["year", "month", "day"], "2020-03-07"),
        (["month", "day_of_week"], "month 3, day of week 5"),
    ],
)
def test_a_date_is_put_together_from_its_parts(tmp_path, parts, expected):
    frame = frame_of(40).assign(day=pd.Timestamp("2020-03-07"))
    assert set(texts_of(table_of(tmp_path, frame=frame, date_parts=parts))["day"]) == {expected}


def test_a_time_of_the_day_is_told(tmp_path):
    frame = frame_of(40).assign(day=pd.Timestamp("2020-03-07 17:05") + pd.to_timedelta(np.arange(40), "D"))
    days = texts_of(table_of(tmp_path, frame=frame))["day"]
    assert {day[-5:] for day in days} == {"17:05"}


def test_a_missing_date_is_missing(tmp_path):
    frame = frame_of(40)
    frame.loc[::2, "day"] = pd.NaT
    days = texts_of(table_of(tmp_path, frame=frame))["day"]
    assert MISSING in days
    assert any(day.startswith("202") for day in days)
