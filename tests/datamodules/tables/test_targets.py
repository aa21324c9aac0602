import json
import math

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from src.datamodules.tables.targets import check_target, decode_target, encode_target, fit_target


def target(*values, dtype=None):
    return pd.Series(list(values), dtype=dtype, name="late")


def fitted(*columns, task="binary", scaling="none", positive=None):
    return json.loads(json.dumps(fit_target(list(columns), task=task, scaling=scaling, positive=positive)))


def names(*values, **choices):
    return fitted(target(*values), **choices)["class_names"]


@pytest.mark.parametrize(
    ("values", "order"),
    [
        ((1, 0), ["0", "1"]),
        ((10.0, 9.0), ["9", "10"]),
        ((1, -1), ["-1", "1"]),
        ((True, False), ["False", "True"]),
        (("yes", "no"), ["no", "yes"]),
        (("Yes", "no"), ["no", "Yes"]),
        (("N", "Y"), ["N", "Y"]),
        ((">50K", "<=50K"), ["<=50K", ">50K"]),
    ],
)
def test_the_larger_of_two_classes_is_positive(values, order):
    assert names(*values) == order


@pytest.mark.parametrize("positive", [0, 0.0, "0"])
def test_the_positive_class_can_be_named(positive):
    assert names(0, 1, positive=positive) == ["1", "0"]


def test_classes_are_sorted_as_numbers_or_as_text():
    assert names(10, 9, 1, task="multiclass") == ["1", "9", "10"]
    assert names("b", "C", "a", task="multiclass") == ["a", "b", "C"]


@pytest.mark.parametrize("values", [(1, 0, 1), ("1", "0", "1"), (1.0, 0.0, 1.0), (np.int8(1), 0, "1")], ids=repr)
def test_classes_are_numbered_whatever_their_type(values):
    found = encode_target([target(*values)], fitted(target(0, 1)))
    assert (found.tolist(), found.dtype) == ([1, 0, 1], np.int64)


def test_class_numbers_are_decoded_to_names():
    known = fitted(target("c", "a", "b"), task="multiclass")
    assert decode_target(np.array([2, 0]), known).tolist() == ["c", "a"]


@pytest.mark.parametrize(
    ("values", "choices", "message"),
    [
        ((1, 1), {}, "'late' is '1' in every training row"),
        (("a", "a"), {"task": "multiclass"}, "'late' is 'a' in every training row"),
        ((0, 1, 2), {}, "binary needs a target of two values, 'late' has 3: 0, 1, 2; choose task=multiclass"),
        (range(99), {}, "has 99: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...;"),
        ((0, None, 1, None), {}, "'late' is missing in 2 of 4 rows, first in row 1; leave such rows out"),
        ((0, 1), {"positive": "yes"}, "positive must be '0' or '1', got 'yes'"),
    ],
)
def test_classes_that_cannot_be_learned_are_refused(values, choices, message):
    with pytest.raises(ValueError, match=message):
        names(*values, **choices)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (("no", None), "missing in 1 of 2 rows, first in row 1"),
        (
            ("no", "Yes", "Yes"),
            "'late' is 'Yes' in row 1, a class that the training rows lack; did you mean 'yes'\\?; they have no, yes",
        ),
    ],
)
def test_other_rows_with_targets_that_training_lacks_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        encode_target([target(*values)], fitted(target("no", "yes")))


def test_values_are_standardised_each_column_for_itself():
    columns = [target(1, 3), target(10, 30)]
    found = encode_target(columns, fitted(*columns, task="regression", scaling="standardise"))
    assert (found.tolist(), found.dtype) == ([[-1, -1], [1, 1]], np.float32)


def test_logarithms_are_standardised():
    column = target(1, math.e**2)
    found = fitted(column, task="regression", scaling="log")
    assert found == {"kind": "log", "mean": [1.0], "std": [1.0]}
    assert_allclose(encode_target([column], found), [[-1], [1]])


@pytest.mark.parametrize("scaling", ["none", "standardise", "log", "log1p"])
def test_values_are_decoded_to_their_units(scaling):
    columns = [target(1, 3, 20), target("5", "6", "9")]
    known = fitted(*columns, task="regression", scaling=scaling)
    assert_allclose(decode_target(encode_target(columns, known), known), [[1, 5], [3, 6], [20, 9]], rtol=1e-6)


def test_a_constant_target_does_not_divide_by_zero():
    assert fitted(target(3, 3), task="regression", scaling="standardise")["std"] == [1]


@pytest.mark.parametrize(
    ("scaling", "value", "message"),
    [
        ("log", 0, "log needs targets above 0: 'late' is 0 in row 1; leave such rows out, or choose log1p"),
        ("log1p", -1, "log1p needs targets above -1: 'late' is -1 in row 1; .* choose standardise"),
        ("none", None, "'late' is missing in 1 of 2 rows, first in row 1"),
        ("none", "x", "'late' must hold finite numbers: row 1 has 'x'"),
    ],
)
def test_values_that_cannot_be_scaled_are_refused_in_any_rows(scaling, value, message):
    with pytest.raises(ValueError, match=message):
        fitted(target(2, value), task="regression", scaling=scaling)
    known = fitted(target(2, 3), task="regression", scaling=scaling)
    with pytest.raises(ValueError, match=message):
        encode_target([target(2, value)], known)


@pytest.mark.parametrize(
    ("columns", "task", "scaling", "positive", "message"),
    [
        (["a"], "ranking", "none", None, "task must be binary, multiclass or regression, got ranking"),
        (["a"], "regression", "sqrt", None, "must be none, standardise, log or log1p, got sqrt"),
        (["a", "b"], "binary", "none", None, "binary needs one target column"),
        ([], "regression", "none", None, "regression one or more, got \\[\\]"),
        (["a"], "multiclass", "none", "x", "names a class of task=binary, got positive='x'"),
    ],
)
def test_choices_that_no_target_meets_are_refused(columns, task, scaling, positive, message):
    with pytest.raises(ValueError, match=message):
        check_target(columns, task, scaling, positive)


def test_large_targets_with_small_differences_are_not_learned_as_they_are():
    with pytest.raises(
        ValueError, match=r"cannot learn 'late', from 1700000000 to 1700000009: .* target_scaling=stand"
    ):
        fitted(target(*range(1_700_000_000, 1_700_000_010)), task="regression", scaling="none")


def test_scaled_targets_keep_small_differences_of_large_ones():
    values = target(*(1.7e9 + np.arange(10) / 10))
    scaling = fitted(values, task="regression", scaling="standardise")
    assert_allclose(
        decode_target(encode_target([values], scaling), scaling)[:, 0] - 1.7e9, np.arange(10) / 10, atol=1e-6
    )


def test_a_class_may_be_spelled_otherwise_in_other_files():
    classes = fitted(target(True, False))
    assert encode_target([target("true", "0", "FALSE")], classes).tolist() == [1, 0, 0]
    assert encode_target([target("0.50", ".5", "2")], fitted(target(0.5, 2.0))).tolist() == [0, 0, 1]
