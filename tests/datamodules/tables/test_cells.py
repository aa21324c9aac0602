import math
from datetime import date, datetime, time
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from src.datamodules.tables.cells import FIRST_KNOWN, MISSING, UNKNOWN, Spellings, is_missing, moment, number


def found(known, cell, had_missing=None):
    """The category of a cell, or what it is in place of one."""
    code = Spellings(known, had_missing=had_missing).code(cell)
    return known[code - FIRST_KNOWN] if code >= FIRST_KNOWN else {MISSING: "missing", UNKNOWN: "unknown"}[code]


@pytest.mark.parametrize(
    ("known", "cells"),
    [
        ("0.5", ["0.50", " 0.5", ".5", "+0.5", "5e-1", 0.5, np.float32(0.5), Decimal("0.50")]),
        ("7", ["7", "07", "+7", "7.", "7.0", "7e0", 7, 7.0, np.int8(7), Decimal("7.00")]),
        ("07:30:00", ["07:30", "7:30", "07:30:00", "07:30:00.000", time(7, 30)]),
        ("07:30", ["7:30", "07:30:00", time(7, 30)]),
        ("2021-01-31 00:00:00", ["2021-01-31", "2021-01-31T00:00", date(2021, 1, 31), pd.Timestamp(2021, 1, 31)]),
        ("2021-01-31", ["2021-01-31 00:00:00", datetime(2021, 1, 31), np.datetime64("2021-01-31T00:00")]),
        ("True", ["true", "TRUE", "1", "1.0", True, 1, np.True_]),
        ("1", ["true", True, np.True_]),
        ("Bonn", [" Bonn", "Bonn\t", b"Bonn"]),
    ],
)
def test_a_cell_has_the_category_that_means_the_same(known, cells):
    assert {found([known], cell) for cell in cells} == {known}


@pytest.mark.parametrize(
    ("known", "cell"),
    [("7", "7a"), ("7", "0x7"), ("x", "X"), ("07:30", "17:30"), ("2021-01-31", "2021-02-31"), ("v1.0", "1")],
)
def test_a_cell_that_means_something_else_is_unknown(known, cell):
    assert found([known], cell) == "unknown"


def test_the_exact_text_comes_first():
    known = ["01", "1", "001"]
    assert [found(known, cell) for cell in ("001", "1", "01", "0001")] == ["001", "1", "01", "01"]


def test_true_is_one_only_where_all_categories_are_truths():
    assert found(["1", "0"], "true") == "1"
    assert found(["1", "2"], "true") == "unknown"


def test_long_numbers_stay_apart():
    assert found(["9007199254740993"], "9007199254740992") == "unknown"
    assert found(["9" * 5000], "9" * 4999) == "9" * 5000  # both are infinite


@pytest.mark.parametrize("cell", [None, math.nan, pd.NA, pd.NaT, Decimal("NaN"), "", " ", "\xa0"])
def test_nothing_and_blanks_are_missing(cell):
    assert is_missing(cell)
    assert found(["a"], cell) == "missing"


def test_a_mark_is_a_word_where_training_had_it_as_one_and_else_missing():
    assert found(["DE", "NA"], "NA") == "NA"
    assert found(["DE"], "NA") == "missing"
    assert found(["1", "2"], "null") == "missing"


def test_a_missing_cell_is_the_one_mark_that_training_had_if_none_was_missing_there():
    assert found(["DE", "NA"], None, had_missing=False) == "NA"  # pandas has read the word so
    assert found(["DE", "NA"], None, had_missing=True) == "missing"
    assert found(["DE", "NA"], None) == "missing"  # older checkpoints do not know
    assert found(["DE", "NA", "None"], None, had_missing=False) == "missing"


@pytest.mark.parametrize(
    ("cell", "value"),
    [("12.5", 12.5), (" +3 ", 3), ("1e3", 1000), (".5", 0.5), ("-inf", -math.inf), (True, 1), ("FALSE", 0), (7, 7)],
)
def test_numbers_may_be_text(cell, value):
    assert number(cell) == value


@pytest.mark.parametrize("cell", ["", "  ", "NA", "nan", "None", None, math.nan, pd.NA])
def test_a_mark_is_a_missing_number(cell):
    assert math.isnan(number(cell))


@pytest.mark.parametrize("cell", ["x", "1,5", "1_000", "0x1F", "1 2", "٣", "12:30", "2021-01-31"])
def test_what_is_no_number_is_refused(cell):
    with pytest.raises(ValueError, match="not a number"):
        number(cell)


@pytest.mark.parametrize(
    ("text", "date_format", "expected"),
    [
        ("2013-01-31", None, datetime(2013, 1, 31)),
        (" 20130131 ", None, datetime(2013, 1, 31)),
        ("2013-02", None, datetime(2013, 2, 1)),
        ("2013-01-31T17:05:06.123456789", None, datetime(2013, 1, 31, 17, 5, 6, 123456)),
        ("9999-12-31", None, datetime(9999, 12, 31)),
        ("2013-31-01", "%Y-%d-%m", datetime(2013, 1, 31)),
        ("NA", None, None),
        (" ", "%Y", None),
        (None, None, None),
    ],
)
def test_a_moment_is_read_by_its_format(text, date_format, expected):
    assert moment(text, date_format, utc=False) == expected


@pytest.mark.parametrize(
    ("text", "date_format"), [("2013-01-31", "%d.%m.%Y"), ("now", None), ("2013-02-31", None), ("1.5", None)]
)
def test_what_is_no_moment_is_refused(text, date_format):
    with pytest.raises(ValueError, match=r"."):
        moment(text, date_format, utc=False)


def test_the_clock_time_of_a_zone_counts_or_utc():
    text = "2022-02-05T00:30:00+02:00"
    assert moment(text, None, utc=False) == datetime(2022, 2, 5, 0, 30)
    assert moment(text, None, utc=True) == datetime(2022, 2, 4, 22, 30)
