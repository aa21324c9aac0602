import numpy as np
import pandas as pd
import pytest

from src.datamodules.tables.columns import Decision, choose_columns, show_decisions

ROWS = 200
NUMBERS = np.arange(ROWS)


def decision(values, date_format=None):
    (found,) = choose_columns(pd.DataFrame({"x": values}), (), date_format)
    return found.kind, found.reason


@pytest.mark.parametrize(
    ("values", "kind", "reason"),
    [
        (np.where(NUMBERS % 3, "a", "b"), "categorical", "2 different values"),
        (pd.Series(np.where(NUMBERS % 3, "a", "b")).astype("category"), "categorical", "2 different values"),
        (NUMBERS % 3 == 0, "categorical", "2 different values"),
        (pd.Series(NUMBERS % 3 == 0).astype(object).where(NUMBERS > 5), "categorical", "2 different values"),
        (["a", None] * 100, "categorical", "1 different values"),
        (NUMBERS % 20, "categorical", "20 different whole numbers"),
        (pd.Series(NUMBERS % 20).where(NUMBERS > 5), "categorical", "20 different whole numbers"),
        (pd.Series(NUMBERS % 20, dtype="Int64").where(NUMBERS > 5), "categorical", "20 different whole numbers"),
        (NUMBERS % 21, "continuous", "21 different whole numbers; if they name things: categorical"),
        (NUMBERS / 8, "continuous", "numbers with fractions"),
        (NUMBERS % 2 / 2, "continuous", "numbers with fractions"),
        (np.where(NUMBERS, 1.0, np.inf), "continuous", "numbers with fractions"),
        (NUMBERS * 2, "continuous", "200 different whole numbers; if they name things: categorical"),
        (pd.date_range("2013-01-01", periods=ROWS), "dates", "dates"),
        (pd.date_range("2013-01-01", periods=ROWS).date, "dates", "text such as 2013-01-01"),
        (["2013-01-31", *["2013-02-01 17:05"] * 199], "dates", "text such as 2013-01-31"),
        (["2013-02-30", *["2013-02-01"] * 199], "categorical", "2 different values"),
        (["20130131"] * 100 + ["20130201"] * 100, "categorical", "2 different values"),
        (NUMBERS[::-1] + 7, "left out", "numbers the rows"),
        ([f"name {n}" for n in NUMBERS], "left out", "200 different texts in 200 rows: names the rows"),
        ([f"name {max(n, 11)}" for n in NUMBERS], "categorical", "189 different values"),
        ([None] * ROWS, "left out", "empty"),
        ([3.5] * ROWS, "left out", "always 3.5"),
        ([3.5, None] * 100, "continuous", "numbers with fractions"),
        (["a"] * ROWS, "left out", "always a"),
        (["a", 1] * 100, "categorical", "2 different values"),
    ],
)
def test_each_kind_of_column_finds_its_use(values, kind, reason):
    assert decision(values) == (kind, reason)


def test_few_whole_numbers_of_few_rows_are_quantities():
    assert decision([1, 5, 7, 5])[0] == "continuous"


def test_dates_in_a_format_of_their_own_are_found():
    days = ["31.01.2013", "01.02.2013"] * 100
    assert decision(days)[0] == "categorical"
    assert decision(days, "%d.%m.%Y") == ("dates", "text such as 31.01.2013")


def test_columns_apart_are_left_alone():
    frame = pd.DataFrame({"a": [1.5], "b": [2.5], "c": [3.5]})
    assert [found.column for found in choose_columns(frame, ["b"], None)] == ["a", "c"]


def test_decisions_are_printed_within_80_columns(capsys):
    show_decisions([Decision("x" * 50, "categorical", "why " * 30), Decision("price", "left out", "always [3]")])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert any("price" in line and "left out" in line and "always [3]" in line for line in lines)
