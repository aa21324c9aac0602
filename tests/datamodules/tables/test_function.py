import numpy as np
import pytest

from src.datamodules.tables.function import Function, values_of
from tests.support.make_data import table_settings

X = np.array([-2.0, 0.5, 3.0])


def make(folder="", seed=0, **changes):
    choices = {"function": "2*x + 1", "low": -1.0, "high": 3.0, "noise": 0.0, "rows": 40, **changes}
    columns = {"target": "y", "task": "regression", "continuous": ["x"], "categorical": [], "dates": []}
    return Function(
        cache_dir=str(folder), **table_settings(**{**columns, "test_fraction": 0.0, "seed": seed}), **choices
    )


@pytest.mark.parametrize(
    ("function", "values"),
    [
        ("sin(3*x) + 0.5*abs(x)", np.sin(3 * X) + 0.5 * np.abs(X)),
        ("-x**2 / (x + 4) % 2", -(X**2) / (X + 4) % 2),
        ("e**x - floor(x)*pi", np.exp(X) - np.floor(X) * np.pi),
        ("7", [7.0, 7.0, 7.0]),
    ],
)
def test_a_formula_has_the_values_that_numpy_gives(function, values):
    np.testing.assert_allclose(values_of(function, X), values)


@pytest.mark.parametrize(
    "function",
    [
        "__import__('os')",
        "x.real",
        "(lambda: x)()",
        "open(x)",
        "x if x else 1",
        "sin(x, x)",
        "'x'",
        "[x]",
        "y",
        "True",
        "~x",
        "not x",
        "x < 1",
    ],
)
def test_nothing_but_a_formula_is_evaluated(function):
    with pytest.raises(ValueError, match="may use numbers"):
        values_of(function, X)


@pytest.mark.parametrize("function", ["sin(3*x", "", "x = 1"])
def test_what_is_no_formula_is_refused(function):
    with pytest.raises(ValueError, match="must be a formula such as"):
        values_of(function, X)


@pytest.mark.parametrize("function", ["log(x)", "9**9**9 + x"])
def test_a_function_without_a_finite_value_is_refused(function):
    with pytest.raises(ValueError, match="has no finite value at x = -2; move low and high"):
        values_of(function, X)


@pytest.mark.parametrize("wrong", [{"low": 3.0}, {"noise": -0.1}, {"rows": 1}])
def test_an_impossible_choice_is_refused(wrong):
    with pytest.raises(ValueError, match=r"low < high, noise >= 0, rows >= 2"):
        make(**wrong)


def test_rows_to_train_on_are_noisy_and_those_to_test_on_are_not():
    frames = make(noise=0.5, rows=2000).frames()
    noise = frames["train"]["y"] - (2 * frames["train"]["x"] + 1)
    assert noise.std() == pytest.approx(0.5, rel=0.1)
    assert frames["train"]["x"].between(-1, 3).all()
    np.testing.assert_allclose(frames["test"]["y"], 2 * np.linspace(-1, 3, 2000) + 1)


def test_another_seed_draws_other_points():
    a, b = make(seed=0), make(seed=1)
    assert a.frames()["train"]["x"].iloc[0] != b.frames()["train"]["x"].iloc[0]


def test_the_points_are_divided_as_of_any_table(tmp_path):
    data = make(tmp_path)
    data.prepare_data()
    data.setup("fit")
    assert {name: len(rows.targets) for name, rows in data.splits.items()} == {"train": 30, "valid": 10, "test": 40}
    assert data.spec["num_continuous"] == 1
