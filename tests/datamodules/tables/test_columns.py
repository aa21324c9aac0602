import numpy as np
import pandas as pd
import pytest

from src.datamodules.tables.columns import choose_columns

ROWS = 200
NUMBERS = np.arange(ROWS)
OTHER_FORM = ": of dates in another form, datamodule.date_format tells which"


def decision(values, date_format=None, name="x"):
    (found,) = choose_columns(pd.DataFrame({name: values}), (), date_format)
    return found.kind, found.reason


@pytest.mark.parametrize(
    ("values", "kind", "reason"),
    [
        (np.where(NUMBERS % 3, "a", "b"), "categorical", "2 different values"),
        (pd.Series(np.where(NUMBERS % 3, "a", "b")).astype("category"), "categorical", "2 different values"),
        (NUMBERS % 3 == 0, "categorical", "2 different values"),
        (pd.Series(NUMBERS % 3 == 0).astype(object).where(NUMBERS > 5), "categorical", "2 different values"),
        (["a", None] * 100, "categorical", "1 different values"),
        (NUMBERS % 20 + 1, "categorical", "20 different whole numbers"),
        (pd.Series(NUMBERS % 20 + 1).where(NUMBERS > 5), "categorical", "20 different whole numbers"),
        (pd.Series(NUMBERS % 20 + 1, dtype="Int64").where(NUMBERS > 5), "categorical", "20 different whole numbers"),
        (NUMBERS % 5 * 10 + 20, "categorical", "5 different whole numbers"),  # codes have gaps
        (NUMBERS % 2, "categorical", "2 different whole numbers"),
        (NUMBERS % 3, "continuous", "3 whole numbers in a row, as of counts"),
        (NUMBERS % 2 * 255, "continuous", "2 whole numbers in a row, as of counts"),  # pixels
        (NUMBERS % 17 * (NUMBERS % 3), "continuous", "25 different whole numbers; if they name things: categorical"),
        (NUMBERS % 5 + 2006, "continuous", "5 whole numbers in a row, as of counts"),  # years
        (NUMBERS % 21, "continuous", "21 different whole numbers; if they name things: categorical"),
        (NUMBERS / 8, "continuous", "numbers with fractions"),
        ((NUMBERS / 8).astype(str), "continuous", "numbers with fractions, as text"),
        ([" ", "NA", *(NUMBERS[2:] / 8).astype(str)], "continuous", "numbers with fractions, as text"),
        (NUMBERS % 2 / 2, "continuous", "numbers with fractions"),
        (np.where(NUMBERS, 1.0, np.inf), "continuous", "numbers with fractions"),
        (NUMBERS * 2, "continuous", "200 different whole numbers; if they name things: categorical"),
        (pd.date_range("2013-01-01", periods=ROWS), "dates", "dates"),
        (pd.date_range("2013-01-01", periods=ROWS).date, "dates", "text such as 2013-01-01"),
        (["2013-01-31", *["2013-02-01 17:05"] * 199], "dates", "text such as 2013-01-31"),
        (["2013-02-30", *["2013-02-01"] * 199], "categorical", "2 different values"),
        (["31.1.2013", "1.2.2013"] * 100, "left out", "text such as 31.1.2013" + OTHER_FORM),
        (["1/31/13 0:00", "2/1/13 0:00"] * 100, "left out", "text such as 1/31/13 0:00" + OTHER_FORM),
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
    assert decision(days)[0] == "left out"
    assert decision(days, "%d.%m.%Y") == ("dates", "text such as 31.01.2013")


def test_columns_apart_are_left_alone():
    frame = pd.DataFrame({"a": [1.5], "b": [2.5], "c": [3.5]})
    assert [found.column for found in choose_columns(frame, ["b"], None)] == ["a", "c"]


REVIEWS = [f"a dress of size {n} that fits" for n in range(40)]


@pytest.mark.parametrize(
    ("values", "kind", "reason"),
    [
        (REVIEWS * 5, "categorical", "40 different values"),  # each five times
        ([*REVIEWS, *REVIEWS[:20]] * 2, "left out", "40 different texts in 120 rows: free text"),
        ([f"SKU{n % 1500}" for n in range(3000)], "left out", "1,500 different texts in 3,000 rows: too rare to learn"),
        ([f"SKU{n % 1500}" for n in range(9000)], "categorical", "1,500 different values"),
        ([f"SKU{n % 900}" for n in range(2000)], "categorical", "900 different values"),
    ],
)
def test_sentences_and_thousands_of_rare_texts_are_no_categories(values, kind, reason):
    assert decision(values) == (kind, reason)


@pytest.mark.parametrize("name", ["Clothing ID", "store_id", "storeId", "zip code", "ZIP", "PostCode", "id", "ids"])
def test_numbers_that_name_things_are_categories(name):
    assert decision(NUMBERS % 40, name=name) == ("categorical", "40 different whole numbers")
    assert decision(NUMBERS % 3, name=name) == ("categorical", "3 different whole numbers")
    assert decision(NUMBERS**2, name=name) == ("left out", "200 different whole numbers in 200 rows: names the rows")


@pytest.mark.parametrize("name", ["paid", "humidity", "width", "decode", "Idle", "zipped"])
def test_other_names_that_hold_these_letters_do_not(name):
    assert decision(NUMBERS % 40, name=name)[0] == "continuous"


SOME = np.sort(np.random.default_rng(0).permutation(ROWS)[:120])  # the training rows


@pytest.mark.parametrize(
    "numbers",
    [NUMBERS, NUMBERS + 1000, -NUMBERS, np.random.default_rng(1).permutation(ROWS), np.r_[0:70, 0:130]],
    ids=["counted", "from another number", "down", "shuffled", "two files"],
)
def test_what_counts_the_rows_is_left_out_also_where_some_went_to_other_splits(numbers):
    frame = pd.DataFrame({"x": numbers, "y": 0.5}).iloc[SOME]
    assert choose_columns(frame, ["y"], None)[0][1:] == ("left out", "numbers the rows")


@pytest.mark.parametrize("name", ["Unnamed: 0", "index", "level_0"])
def test_an_index_that_was_saved_with_the_table_is_left_out(name):
    assert decision(NUMBERS * 7, name=name) == ("left out", "numbers the rows")
    assert decision(NUMBERS % 40, name=name)[0] == "continuous"  # a stock index, say


def test_whole_numbers_that_differ_by_chance_do_not_count_the_rows():
    assert decision(np.random.default_rng(0).integers(0, 10**6, ROWS))[0] == "continuous"
