import json
import math
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.preprocessing import QuantileTransformer

from src.datamodules.tables.continuous import check_scaling, encode_continuous, fit_continuous, outside, read_numbers


def column(*values, dtype=None):
    return pd.Series(list(values), dtype=dtype, name="price")


def encoded(train, new=None, scaling="standardise", clip=False):
    fitted = json.loads(json.dumps(fit_continuous(train, scaling, clip)))
    return [values.tolist() for values in encode_continuous(train if new is None else new, fitted)]


def test_numbers_are_standardised():
    assert encoded(column(1.0, 3.0)) == [[-1, 1]]  # mean 2, deviation 1


def test_missing_numbers_get_the_median_and_a_flag():
    # present: 0, 0, 6; mean 2, median 0, deviation sqrt(8)
    values, flags = encoded(column(0, 6, None, 0))
    assert_allclose(values, [-(0.5**0.5), 2**0.5, -(0.5**0.5), -(0.5**0.5)], rtol=1e-6)
    assert flags == [0, 0, 1, 0]


def test_a_first_missing_number_gets_the_median_and_no_flag():
    assert encoded(column(0, 2, 4), column(None, 2.0)) == [[0, 0]]


def test_a_flag_stays_where_new_rows_are_complete():
    assert encoded(column(0, None, 2), column(1))[1] == [0]


@pytest.mark.parametrize("scaling", ["standardise", "quantile"])
@pytest.mark.parametrize("values", [[0.1] * 7, [3e38] * 7, [0.1]], ids=str)
def test_a_constant_column_becomes_zero(scaling, values):
    assert encoded(column(*values), scaling=scaling) == [[0.0] * len(values)]


def test_differences_too_small_to_square_do_not_divide_by_zero():
    assert np.isfinite(encoded(column(0, 1e-200))).all()


def test_what_float32_cannot_hold_after_scaling_is_its_largest_number():
    assert np.isfinite(encoded(column(0, 1e-30), column(1e38, -1e38))).all()


def test_quantiles_make_any_distribution_normal():
    skewed = pd.Series(np.random.default_rng(0).lognormal(size=5000))
    (values,) = encoded(skewed, scaling="quantile")
    shares = [np.mean(np.array(values) < bound) for bound in (-1, 0, 1)]
    assert_allclose(shares, [0.159, 0.5, 0.841], atol=0.01)


@pytest.mark.parametrize("rows", [7, 1000, 3000])
def test_quantiles_agree_with_scikit_learn(rows):
    rng = np.random.default_rng(0)
    train, new = rng.normal(size=rows), rng.normal(size=50) * 3
    theirs = QuantileTransformer(n_quantiles=min(rows, 1000), output_distribution="normal", subsample=None)
    expected = theirs.fit(train.reshape(-1, 1)).transform(new.reshape(-1, 1))[:, 0]
    (ours,) = encoded(pd.Series(train), pd.Series(new), scaling="quantile")
    assert_allclose(ours, expected, atol=1e-4)


def test_many_equal_numbers_get_the_middle_of_their_ranks():
    (values,) = encoded(column(*[0.0] * 50, *range(1, 51)), scaling="quantile")
    assert values[0] == pytest.approx(-0.674, abs=0.03)  # half of them are zero: the first quarter's end


@pytest.mark.parametrize("scaling", ["standardise", "quantile"])
def test_numbers_outside_the_range_of_training_count_as_its_ends_if_clipped(scaling):
    train, new = column(1.0, 3.0, 5.0), column(-99.0, 1.0, 4.0, 5.0, 1e30, None)
    within = column(1.0, 1.0, 4.0, 5.0, 5.0, 3.0)
    assert encoded(train, new, scaling, clip=True) == encoded(train, within, scaling)
    rows, missing = outside(new, fit_continuous(train, scaling, True))
    assert missing.tolist() == np.isnan(new).tolist()
    assert rows.tolist() == [True, False, False, False, True, False]


@pytest.mark.parametrize("scaling", ["standardise", "quantile"])
@pytest.mark.parametrize("train", [column(0.3, 0.3, 0.3), column(0.3, 0.1 + 0.2, 0.3), column(7)])
def test_a_column_that_is_constant_in_training_says_nothing_of_other_numbers(train, scaling):
    (before,) = encoded(train, scaling=scaling)
    (values,) = encoded(train, column(0.5, -99.0, 1e9, None), scaling)
    assert values == pytest.approx([before[0]] * 4, abs=1e-6)


def test_a_constant_column_with_gaps_only_tells_them():
    values, missing = encoded(column(0.5, None, 0.5), column(99.0, None))
    assert (values, missing) == ([0, 0], [0, 1])


def test_quantiles_are_a_thousand_at_most():
    fitted = fit_continuous(pd.Series(np.arange(2345.0)), "quantile", False)
    assert len(fitted["quantiles"]) == 1000


@pytest.mark.parametrize(
    "values",
    [
        column(12.5, None),
        column("12.5", None),
        column(" 12.5 ", " "),
        column("12.5", ""),
        column("12.5", None, dtype="string"),
        column(12.5, pd.NA, dtype="Float64"),
        column(12.5, None, dtype="double[pyarrow]"),
        column(Decimal("12.5"), math.nan),
        column("1.25e1", pd.NaT, dtype=object),
        column(12.5, None).astype("category"),
        column("12.5", None).astype("category"),
    ],
    ids=repr,
)
def test_numbers_are_read_from_any_type(values):
    assert_allclose(read_numbers(values), [12.5, math.nan])


@pytest.mark.parametrize("dtype", [bool, "boolean", object])
def test_booleans_are_zero_and_one(dtype):
    assert read_numbers(column(True, False, dtype=dtype)).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (column(1, "1,234", "x"), "row 1 has '1,234'"),
        (column("5", None, "five"), "row 2 has 'five'"),
        (column(1.0, math.inf), "row 1 has 'inf'"),
        (column("1", "-inf"), "row 1 has '-inf'"),
        (column(1.0, 1e300), "row 1 has '1e\\+300'"),
        (column(3, [4]), "row 1 has '\\[4\\]'"),
        (column(pd.NaT, pd.Timestamp("2013-01-31")), "row 1 has '2013-01-31 00:00:00'"),
        (column(pd.Timestamp("2013-01-31"), 1), "row 0 has '2013-01-31 00:00:00'"),
        (column(pd.Timestamp("2013-01-31")).astype("category"), "row 0 has '2013-01-31 00:00:00'"),
        (column(pd.Timedelta(days=3)), "row 0 has '3 days 00:00:00'"),
        (pd.Series([1, "x"], index=pd.Index([2, 3], name="line"), name="price"), "line 3 has 'x'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_number_is_named_with_its_row(values, told):
    with pytest.raises(ValueError, match=f"'price' must hold finite numbers: {told}"):
        read_numbers(values)


def test_a_column_without_numbers_is_refused():
    with pytest.raises(ValueError, match="'price' has no number in the training rows"):
        fit_continuous(column(None, None, dtype=float), "standardise", False)


def test_another_scaling_is_refused():
    with pytest.raises(ValueError, match="must be standardise or quantile, got normal"):
        check_scaling("normal")


FLOATS = st.one_of(st.just(math.nan), st.floats(width=32, allow_infinity=False))


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(
    st.lists(FLOATS).filter(lambda v: not all(map(math.isnan, v))),
    st.lists(FLOATS),
    st.sampled_from(["standardise", "quantile"]),
)
def test_what_comes_out_is_finite_whatever_the_numbers(train, new, scaling):
    fitted = fit_continuous(pd.Series(train), scaling, False)
    for values in (train, new):
        found = np.array(encode_continuous(pd.Series(values, dtype=float), fitted))
        assert np.isfinite(found).all()
        assert found.shape == (1 + any(map(math.isnan, train)), len(values))
