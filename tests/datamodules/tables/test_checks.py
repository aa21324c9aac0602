import pandas as pd
import pytest

from src.datamodules.tables.checks import did_you_mean, get_columns, row_label

FRAME = pd.DataFrame({"Price": [1.0], "store": ["a"], "state": ["b"]})


def test_columns_come_in_the_order_asked_for():
    assert [values.name for values in get_columns(FRAME, ["state", "Price"])] == ["state", "Price"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["PRICE"], "no column 'PRICE'; did you mean 'Price'\\?; it has Price, store, state"),
        (["prcie", "store", "town"], "no column 'prcie'; did you mean 'Price'\\?; it also lacks 'town'; it has"),
        (["zzz"], "no column 'zzz'; it has"),
    ],
)
def test_a_missing_column_is_named_with_the_nearest_one(names, message):
    with pytest.raises(ValueError, match=message):
        get_columns(FRAME, names)


def test_a_column_that_is_there_twice_is_refused():
    twice = pd.concat([FRAME, FRAME[["store"]]], axis=1)
    with pytest.raises(ValueError, match="more than one column 'store'"):
        get_columns(twice, ["Price", "store"])


def test_nothing_is_suggested_where_nothing_is_like_it():
    assert did_you_mean("zzz", ["abc"]) == ""


def test_rows_are_named_as_the_index_names_them():
    assert row_label(pd.Series([5, 6], index=[7, 9]), 1) == "row 9"
    assert row_label(pd.Series([5, 6], index=pd.Index([7, 9], name="line")), 1) == "line 9"
