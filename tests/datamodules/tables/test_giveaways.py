import numpy as np
import pandas as pd
import pytest

from src.datamodules.tables.giveaways import giveaways

RANDOM = np.random.default_rng(0)
ROWS = 3000
NUMBER = RANDOM.normal(size=ROWS)
CLASS = pd.Series(np.where(NUMBER > 0.3, "yes", "no"))
VALUE = pd.Series(3 * NUMBER)


def found(values, target=CLASS, is_class=True):
    return [name for name, _ in giveaways(pd.DataFrame({"x": values}), ["x"], target, is_class)]


@pytest.mark.parametrize(
    ("values", "target", "is_class"),
    [
        (NUMBER, CLASS, True),
        (np.where(NUMBER > 0.3, "paid", "open"), CLASS, True),
        (pd.Series(NUMBER).where(NUMBER > 0.3), CLASS, True),  # that it is missing tells all
        (np.exp(NUMBER), VALUE, False),
        (VALUE + RANDOM.normal(size=ROWS) / 10, VALUE, False),
    ],
)
def test_columns_that_tell_all_are_found(values, target, is_class):
    assert found(values, target, is_class) == ["x"]


@pytest.mark.parametrize(
    ("values", "target", "is_class"),
    [
        (NUMBER + RANDOM.normal(size=ROWS) / 3, CLASS, True),
        (NUMBER + RANDOM.normal(size=ROWS) / 3, VALUE, False),
        ([f"name {row}" for row in range(ROWS)], CLASS, True),  # each value once: nothing is learned of the others
        (RANDOM.normal(size=ROWS), pd.Series(np.arange(ROWS) % 100 == 0), True),  # a rare class
        (np.ones(ROWS), VALUE * 0, False),
    ],
)
def test_columns_that_tell_much_or_nothing_are_not(values, target, is_class):
    assert found(values, target, is_class) == []


def test_a_few_rows_say_nothing():
    assert found(NUMBER[:40], CLASS[:40]) == []


def test_the_best_comes_first():
    frame = pd.DataFrame({"a": VALUE + RANDOM.normal(size=ROWS) / 5, "b": VALUE, "c": 0})
    names = [name for name, _ in giveaways(frame, ["a", "b", "c"], VALUE, False)]
    assert names == ["b", "a"]
