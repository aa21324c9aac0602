import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from src.datamodules.tables.categories import distinct_texts, encode_categories, fit_categories, is_text
from src.datamodules.tables.cells import MISSING, UNKNOWN, Spellings, category_text


def objects(*values):
    return pd.Series(list(values), dtype=object)


def codes(values, known=("1", "7"), had_missing=None):
    return encode_categories(values, list(known), had_missing=had_missing).tolist()


def test_the_most_frequent_come_first_equals_in_unicodes_order():
    assert fit_categories(objects("b", "é", "a", "b", None, "Z"), 1) == ["b", "Z", "a", "é"]


def test_rarer_categories_than_min_freq_are_unknown():
    values = objects("a", "a", "b", "c", "c")
    known = fit_categories(values, 2)
    assert known == ["a", "c"]
    assert codes(values, known) == [2, 2, UNKNOWN, 3, 3]


def test_values_are_counted_by_their_text():
    assert fit_categories(objects("2", 1, "1", 1.0), 1) == ["1", "2"]


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([7, 1]),
        pd.Series([7, 1], dtype="int8"),
        pd.Series([7.0, 1.0]),
        pd.Series([7, 1], dtype="float32"),
        pd.Series([7, 1], dtype="Int64"),
        pd.Series([7, 1], dtype="Float64"),
        pd.Series([7, 1], dtype="int64[pyarrow]"),
        pd.Series(["7", "1"]),
        pd.Series(["7.0", "1.00"]),
        pd.Series(["7", "1"], dtype="string"),
        objects(np.int64(7), "1"),
        objects(7.0, np.float32(1)),
        pd.Series(pd.Categorical([7, 1], categories=[9, 7, 1])),
        pd.Series(pd.Categorical(["7", "1"], categories=["1", "3", "7"])),
    ],
    ids=lambda values: f"{values.dtype} {values[0]!r}",
)
def test_whole_numbers_are_one_category_whatever_the_type(values):
    assert codes(values) == [3, 2]


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([True, False]),
        pd.Series([True, False], dtype="boolean"),
        pd.Series(["True", "False"]),
        objects(True, "False"),
        objects(np.True_, np.False_),
    ],
    ids=lambda values: f"{values.dtype} {values[0]!r}",
)
def test_booleans_are_one_category_whatever_the_type(values):
    assert codes(values, ["False", "True"]) == [3, 2]


def test_true_is_not_one_even_in_one_column():
    assert codes(objects(1, True, "x", 0, False), ["True", "1", "0"]) == [3, 2, UNKNOWN, 4, UNKNOWN]


@pytest.mark.parametrize(
    "values",
    [
        objects(None, 7),
        objects(math.nan, "7"),
        objects(pd.NA, 7),
        objects(pd.NaT, 7),
        objects("", "7"),
        pd.Series([math.nan, 7.0]),
        pd.Series([None, 7], dtype="Int64"),
        pd.Series([None, "7"]),
        pd.Series(["", "7"]),
        pd.Series(pd.Categorical([None, "7"])),
    ],
    ids=lambda values: f"{values.dtype} {values[0]!r}",
)
def test_missing_values_are_missing_even_where_training_had_none(values):
    assert codes(values) == [MISSING, 3]


def test_an_integer_column_is_the_same_after_a_nan_made_it_float():
    whole = pd.Series([3, 1, 3])
    known = fit_categories(whole, 1)
    assert codes(whole.reindex(range(4)), known) == [*codes(whole, known), MISSING]


def test_text_is_kept_to_the_letter_otherwise():
    assert [category_text(text) for text in ("01", " 1", "1.50", "1.", "v1.0", "-2.0")] == [
        "01",
        " 1",
        "1.50",
        "1.",
        "v1.0",
        "-2",
    ]


def test_fractions_are_one_category_in_any_precision():
    assert codes(pd.Series([0.1], dtype="float32"), ["0.1"]) == codes(pd.Series([0.1]), ["0.1"]) == [2]


def test_dates_are_one_category_in_any_unit():
    days = pd.Series(pd.to_datetime(["2013-01-31"]))
    assert fit_categories(days.astype("datetime64[s]"), 1) == fit_categories(days.astype("datetime64[ns]"), 1)


def test_lists_are_compared_by_their_text():
    assert codes(objects([1], "a"), ["[1]"]) == [2, UNKNOWN]


def test_rows_find_their_texts():
    rows, texts = distinct_texts(objects("b", None, "a", "b"))
    assert (rows.tolist(), texts) == ([0, -1, 1, 0], ["b", "a"])


@pytest.mark.parametrize(
    ("values", "answer"),
    [
        (pd.Series(["007", None]), True),
        (objects("a", None), True),
        (pd.Series(pd.Categorical(["a"])), True),
        (pd.Series(pd.Categorical([7])), False),
        (pd.Series([7]), False),
        (objects(True, None), False),
    ],
)
def test_text_columns_are_told_from_others(values, answer):
    assert is_text(values) is answer


TEXTS = st.text(max_size=4)
COLUMNS = st.one_of(
    st.lists(st.one_of(st.none(), TEXTS)).map(lambda v: pd.Series(v, dtype="str")),
    st.lists(st.one_of(st.none(), TEXTS)).map(lambda v: pd.Series(pd.Categorical(v))),
    st.lists(st.one_of(st.none(), st.integers(-9, 9))).map(lambda v: pd.Series(v, dtype="Int64")),
    st.lists(st.one_of(st.none(), st.booleans())).map(lambda v: pd.Series(v, dtype="boolean")),
    st.lists(st.floats(width=32)).map(lambda v: pd.Series(v, dtype="float32")),
    st.lists(
        st.one_of(
            st.sampled_from([None, math.nan, pd.NA, pd.NaT, math.inf, np.int64(1), np.float32(0.5), b"1", (1,)]),
            TEXTS,
            st.integers(),
            st.floats(),
            st.booleans(),
            st.dates(),
        )
    ).map(lambda v: pd.Series(v, dtype=object)),
)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(COLUMNS, COLUMNS, st.integers(1, 3))
def test_every_value_has_a_code_whose_text_is_its_own(seen, new, min_freq):
    known = json.loads(json.dumps(fit_categories(seen, min_freq)))
    assert len(set(known)) == len(known)
    for values in (seen, new):
        found = encode_categories(values, known, had_missing=None)
        assert (found.dtype, found.shape) == (np.int64, values.shape)
        for value, code in zip(values, found.tolist(), strict=True):
            scalar = np.float32(value) if values.dtype == "float32" else value
            assert code == Spellings(known, had_missing=None).code(scalar)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(COLUMNS)
def test_training_rows_are_known_where_none_is_rare(seen):
    assert UNKNOWN not in encode_categories(seen, fit_categories(seen, 1), had_missing=None)
