import datetime as dt
import math

import numpy as np
import pandas as pd
import pytest

from src.datamodules.tables.dates import (
    CATEGORY_PARTS,
    PARTS,
    are_dates,
    check_parts,
    have_zones,
    part_name,
    split_dates,
)

SUNDAY = "2012-12-30"  # of the ISO week 52, a leap year's day 365
PARTS_OF_SUNDAY = {"year": 2012, "month": 12, "week": 52, "day": 30, "day_of_week": 6, "day_of_year": 365, "hour": 0}


def split(values, parts=None, date_format=None, utc=False):
    columns = split_dates(pd.Series(values, name="sold"), list(parts or PARTS), date_format, utc=utc)
    return {str(column.name): column.tolist() for column in columns}


def test_a_date_has_the_parts_of_the_calendar():
    found = split([SUNDAY], PARTS_OF_SUNDAY)
    assert found == {f"sold_{part}": [value] for part, value in PARTS_OF_SUNDAY.items()}


def test_elapsed_counts_days_since_1970():
    assert split(["1970-01-11T12:00", "9999-12-31"], ["elapsed"]) == {"sold_elapsed": [10.5, 2932896.0]}


@pytest.mark.parametrize(
    ("day", "flags"),
    [
        ("2012-01-01", {"is_month_start", "is_quarter_start", "is_year_start"}),
        ("2012-02-01", {"is_month_start"}),
        ("2012-02-29", {"is_month_end"}),
        ("2012-04-01", {"is_month_start", "is_quarter_start"}),
        ("2012-06-30", {"is_month_end", "is_quarter_end"}),
        ("2012-12-31", {"is_month_end", "is_quarter_end", "is_year_end"}),
    ],
)
def test_starts_and_ends_are_flagged(day, flags):
    found = split([day], [part for part in CATEGORY_PARTS if part.startswith("is_")])
    assert {name for name, values in found.items() if values == [1]} == {f"sold_{flag}" for flag in flags}


@pytest.mark.parametrize(
    "values",
    [
        [SUNDAY],
        ["20121230"],
        [20121230],
        [20121230.0],
        ["2012-12-30T00:00:00"],
        ["2012-12-30T00:00Z"],
        ["2012-12-30T00:00+14:00"],
        [dt.date(2012, 12, 30)],
        [dt.datetime(2012, 12, 30)],
        pd.to_datetime([SUNDAY]).as_unit("ns"),
        pd.to_datetime([SUNDAY]).as_unit("s"),
        pd.to_datetime([SUNDAY]).tz_localize("UTC"),
        pd.to_datetime([SUNDAY]).tz_localize("America/New_York"),
        pd.Categorical([SUNDAY]),
    ],
    ids=repr,
)
def test_a_date_is_the_same_in_any_type(values):
    assert split(values) == split([dt.date(2012, 12, 30)])


@pytest.mark.parametrize(
    "values", [["2012-12-29T22:00-02:00"], pd.to_datetime(["2012-12-29T19:00"]).tz_localize("America/New_York")]
)
def test_older_checkpoints_read_times_with_a_zone_in_utc(values):
    assert split(values, utc=True) == split([SUNDAY])


def test_a_date_far_off_does_not_depend_on_a_fraction_of_a_second_beside_it():
    days = ["9999-12-31", "2020-01-31T10:00:00.123456789"]
    assert split(days, ["year"]) == {"sold_year": [9999, 2020]}


def test_other_formats_are_named():
    assert split(["30.12.2012"], ["day", "month"], "%d.%m.%Y") == {"sold_day": [30], "sold_month": [12]}


@pytest.mark.parametrize("missing", [None, math.nan, pd.NaT, "", " ", "NA"])
def test_missing_dates_have_missing_parts(missing):
    found = split([missing, SUNDAY, missing])
    assert all(np.isnan(values).tolist() == [True, False, True] for values in found.values())


def test_a_column_without_dates_has_missing_parts():
    assert np.isnan(list(split([None, None]).values())).all()


def test_parts_keep_their_rows():
    values = pd.Series([SUNDAY, "2013-01-01", SUNDAY], index=[7, 3, 5], name="sold")
    (day,) = split_dates(values, ["day"], None, utc=False)
    assert day.to_dict() == {7: 30, 3: 1, 5: 30}


@pytest.mark.parametrize("word", ["soon", "now", "today", "2013-02-30", "30.12.2012", "1"])
def test_what_is_no_date_is_named_with_its_row(word):
    with pytest.raises(ValueError, match=f"'sold' must hold dates such as 2013-01-31: row 2 has '{word}'"):
        split([SUNDAY, None, word, word])


def test_what_has_another_format_is_named_with_it():
    with pytest.raises(ValueError, match=f"such as %d.%m.%Y: row 0 has '{SUNDAY}'"):
        split([SUNDAY], date_format="%d.%m.%Y")


@pytest.mark.parametrize(
    ("texts", "date_format", "answer"),
    [
        ([SUNDAY, "NA"], None, True),
        ([SUNDAY, "x"], None, False),
        (["NA"], None, False),
        (["2012"], None, False),
        (["2021-13-01"], "%Y-%d-%m", True),
        (["2021-13-01"], None, False),
    ],
)
def test_dates_are_told_from_other_text(texts, date_format, answer):
    assert are_dates(texts, date_format) is answer


def test_zones_are_seen():
    assert have_zones(pd.Series(["2012-12-30T00:00Z"]))
    assert have_zones(pd.Series(["2012-12-30T00:00:00.5+02:00", None]))
    assert have_zones(pd.Series(pd.to_datetime([SUNDAY]).tz_localize("UTC")))
    assert not have_zones(pd.Series([SUNDAY, "2012-12-30 00:00"]))
    assert not have_zones(pd.Series(pd.to_datetime([SUNDAY])))


def test_parts_are_named_after_their_column():
    assert part_name("sold", "day") == "sold_day"


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (["weak"], "no date part 'weak'; did you mean 'week'\\?; there are year, month"),
        (["day", "day"], "must name each part once"),
    ],
)
def test_wrong_parts_are_refused(parts, message):
    with pytest.raises(ValueError, match=message):
        check_parts(parts)
