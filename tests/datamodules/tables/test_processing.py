import copy
import io
import json

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from src.datamodules.tables.cells import UNKNOWN
from src.datamodules.tables.processing import TableProcessing

FRAME = pd.DataFrame(
    {
        "shop": ["b", "a", "b", None, "rare"],
        "code": ["007", "08", "007", "08", "08"],
        "open": [True, False, True, True, True],
        "price": [1.0, None, 3.0, 5.0, 1.0],
        "size": [2, 4, 6, 8, 10],
        "sold": pd.to_datetime(["2013-01-01", "2013-01-02", None, "2013-01-31", "2013-02-01"]),
        "sales": [10.0, 20.0, 30.0, 40.0, 50.0],
    }
)


def processing(**changes):
    choices = {
        "target": "sales",
        "task": "regression",
        "categorical": ["shop", "code", "open"],
        "continuous": ["price", "size"],
        "dates": ["sold"],
        "min_freq": 1,
        "continuous_scaling": "standardise",
        "clip_numbers": False,
        "target_scaling": "log",
        "date_parts": ["month", "elapsed", "is_month_start"],
        "date_format": None,
        "positive": None,
    }
    return TableProcessing(**(choices | changes))


def fitted(frame=FRAME, **changes):
    made = processing(**changes)
    made.fit(frame)
    return made


def test_columns_have_their_names_and_sizes():
    made = fitted()
    assert made.category_names == ["shop", "code", "open", "sold_month", "sold_is_month_start"]
    assert made.category_sizes == [5, 4, 4, 4, 4]
    assert made.continuous_names == ["price", "price_missing", "size", "sold_elapsed", "sold_elapsed_missing"]


def test_codes_have_their_texts():
    made = fitted()
    assert made.categories("shop") == ["<missing>", "<unknown>", "b", "a", "rare"]
    assert made.categories("sold_month") == ["<missing>", "<unknown>", "1", "2"]


def test_rows_become_codes_and_numbers():
    categories, continuous = fitted().encode(FRAME)
    assert categories.tolist() == [[2, 3, 2, 2, 3], [3, 2, 3, 2, 2], [2, 3, 2, 0, 0], [0, 2, 2, 2, 2], [4, 2, 2, 3, 3]]
    assert (categories.dtype, continuous.dtype, continuous.shape) == (np.int64, np.float32, (5, 5))
    assert continuous[:, 1].tolist() == [0, 1, 0, 0, 0]
    assert continuous[:, 4].tolist() == [0, 0, 1, 0, 0]


def test_there_may_be_no_categories_no_numbers_or_no_rows():
    assert fitted(categorical=[], dates=[]).encode(FRAME)[0].shape == (5, 0)
    assert fitted(continuous=[], dates=[]).encode(FRAME)[1].shape == (5, 0)
    assert [part.shape for part in fitted().encode(FRAME[:0])] == [(0, 5), (0, 5)]


def test_new_rows_need_no_target():
    made = fitted()
    assert_array_equal(made.encode(FRAME.drop(columns="sales"))[1], made.encode(FRAME)[1])


def test_codes_and_numbers_are_found_without_the_columns_of_the_other():
    made = fitted()
    categories, continuous = made.encode(FRAME)
    assert_array_equal(made.codes(FRAME[["shop", "code", "open", "sold"]]), categories)
    assert_array_equal(made.numbers(FRAME[["price", "size", "sold"]]), continuous)


def test_rows_are_encoded_alike_alone_and_together():
    made = fitted()
    alone = [made.encode(FRAME[row : row + 1]) for row in range(len(FRAME))]
    for part, together in enumerate(made.encode(FRAME)):
        assert_array_equal(np.concatenate([row[part] for row in alone]), together)


def test_min_freq_is_of_training_rows():
    made = fitted(min_freq=2)
    assert made.categories("shop") == ["<missing>", "<unknown>", "b"]
    assert made.encode(FRAME)[0][:, 0].tolist() == [2, 1, 2, 0, 1]


def test_targets_return_to_their_units():
    made = fitted()
    values = made.encode_target(FRAME)
    assert values.shape == (5, 1)
    np.testing.assert_allclose(made.decode_target(values)[:, 0], FRAME["sales"], rtol=1e-6)


@pytest.mark.parametrize(
    ("target", "task", "classes", "outputs"),
    [
        ("open", "binary", ["False", "True"], 1),
        ("size", "multiclass", ["2", "4", "6", "8", "10"], 5),
        (["size", "sales"], "regression", [], 2),
    ],
)
def test_the_task_gives_classes_and_outputs(target, task, classes, outputs):
    made = fitted(target=target, task=task, categorical=["shop"], continuous=["price"])
    assert (made.class_names, made.num_outputs) == (classes, outputs)


def test_other_rows_change_nothing_in_the_state():
    made = fitted()
    before = copy.deepcopy(made.state)
    others = FRAME.assign(shop="new", price=np.nan, size=1e6, sold=pd.Timestamp("2031-05-05"), sales=1e9)
    made.encode(others)
    made.encode_target(others)
    assert made.state == before


def test_the_order_of_training_rows_changes_nothing():
    assert fitted(FRAME[::-1]).state == fitted().state


def through_json(state):
    return json.loads(json.dumps(state))


def through_torch(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("saved", [through_json, through_torch])
@pytest.mark.parametrize("changes", [{}, {"continuous_scaling": "quantile"}, {"target": "open", "task": "binary"}])
def test_a_state_restores_everything(saved, changes):
    if changes.get("target"):
        changes = changes | {"categorical": ["shop"], "positive": False}
    made = fitted(**changes)
    again = TableProcessing.from_state(saved(made.state))
    assert again.state == made.state
    others = FRAME.assign(shop=["new", "a", None, "b", "b"])
    for ours, theirs in zip(again.encode(others), made.encode(others), strict=True):
        assert_array_equal(ours, theirs)
    targets = made.encode_target(FRAME)
    assert_array_equal(again.encode_target(FRAME), targets)
    assert_array_equal(again.decode_target(targets), made.decode_target(targets))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"min_freq": 0}, "min_freq must be positive, got 0"),
        ({"categorical": [], "continuous": [], "dates": []}, "a net needs an input"),
        ({"continuous": ["sales"]}, "'sales' is used twice"),
        ({"continuous": ["shop"]}, "'shop' is used twice"),
        ({"categorical": ["sold_month"]}, "'sold_month' is used twice"),
        ({"date_parts": ["weak"]}, "did you mean 'week'"),
        ({"continuous_scaling": "normal"}, "continuous_scaling must be"),
        ({"target_scaling": "sqrt"}, "target_scaling must be"),
    ],
)
def test_wrong_choices_are_refused_at_the_door(changes, message):
    with pytest.raises(ValueError, match=message):
        processing(**changes)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (FRAME.rename(columns={"price": "Price"}), "no column 'price'; did you mean 'Price'"),
        (FRAME.drop(columns="sales"), "no column 'sales'"),
        (FRAME[:0], "no training rows"),
        (FRAME.assign(size=["1", "2", "x", "4", "5"]), "'size' must hold finite numbers: row 2 has 'x'"),
        (FRAME.assign(sold="soon"), "'sold' must hold dates .*: row 0 has 'soon'"),
        (FRAME.assign(sales=0), "'sales' is 0 in row 0"),
    ],
)
def test_tables_that_do_not_fit_are_refused(frame, message):
    with pytest.raises(ValueError, match=message):
        fitted(frame)


def test_all_columns_that_new_rows_lack_are_named():
    with pytest.raises(ValueError, match="no column 'open'; it also lacks 'size'"):
        fitted().encode(FRAME.drop(columns=["open", "size"]))


SHOPS = st.sampled_from([None, "a", "b", "ü", "", 1, 1.0, "1", True, float("nan")])
ROWS = st.lists(
    st.tuples(
        SHOPS,
        st.one_of(st.none(), st.integers(-5, 5)),
        st.one_of(st.none(), st.floats(-1e6, 1e6)),
        st.one_of(st.none(), st.dates()),
    ),
    min_size=1,
)


def table(rows):
    shops, codes, prices, days = zip(*rows, strict=True)
    return pd.DataFrame(
        {
            "shop": pd.Series(shops, dtype=object),
            "code": pd.Series(codes, dtype="Int64"),
            "price": pd.Series(prices, dtype="Float64"),
            "sold": pd.Series(days, dtype=object),
            "sales": 1.0,
        }
    )


def has_numbers_and_dates(rows):
    return any(row[2] is not None for row in rows) and any(row[3] is not None for row in rows)


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(ROWS.filter(has_numbers_and_dates), ROWS, st.sampled_from(["standardise", "quantile"]), st.integers(1, 2))
def test_any_table_becomes_codes_in_range_and_finite_numbers(train, new, scaling, min_freq):
    choices = {"categorical": ["shop", "code"], "continuous": ["price"], "continuous_scaling": scaling}
    made = fitted(table(train), min_freq=min_freq, **choices)
    for frame in (table(train), table(new)):
        categories, continuous = made.encode(frame)
        assert np.isfinite(continuous).all()
        assert (categories >= 0).all()
        assert (categories < made.category_sizes).all()


def test_a_category_that_is_constant_in_training_is_constant_ever_after():
    # The plan has one value; of the dates, the year and the end of the month are the same in all rows.
    frame = FRAME.assign(plan="x", sold=pd.to_datetime(["2013-01-01", "2013-01-02"] * 2 + ["2013-01-03"]))
    made = fitted(frame, categorical=["plan", "shop"], date_parts=["year", "day", "is_month_end"], dates=["sold"])
    new = frame.assign(plan=["y", None, "x", "z", ""], shop="new", sold=pd.Timestamp("2031-12-31"))
    before, after = made.codes(frame), made.codes(new)
    same = [made.category_names.index(name) for name in ("plan", "sold_year", "sold_is_month_end")]
    assert (after[:, same] == before[:, same]).all()
    assert (after[:, [1, 3]] == UNKNOWN).all()


def test_rows_outside_the_range_of_training_are_found_by_column():
    found, _ = fitted().outside(FRAME.assign(size=[2, 4, 6, 8, 11], sold=pd.Timestamp("2012-12-31")))
    assert {name: rows.tolist() for name, rows in found.items()} == {
        "price": [False] * 5,
        "size": [False] * 4 + [True],
        "sold_elapsed": [True] * 5,
    }


def test_a_state_of_an_older_version_does_not_clip():
    state = fitted().state
    del state["choices"]["clip_numbers"], state["constant_codes"]
    for column in state["continuous"].values():
        del column["range"], column["clip"]
    older, wide = TableProcessing.from_state(state), FRAME.assign(size=1e6)
    assert_array_equal(older.numbers(wide), fitted().numbers(wide))
    assert not any(rows.any() for rows in older.outside(wide)[0].values())
