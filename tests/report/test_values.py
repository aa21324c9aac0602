import numpy as np
from numpy.testing import assert_allclose

from src.report.values import plots_of_values, residual_bands


def test_bands_are_of_rows_with_like_predictions():
    predicted = np.repeat([1.0, 2.0], 10)
    middles, low, median, high = residual_bands(predicted, np.concatenate([np.zeros(10), np.arange(10)]))
    assert (middles.tolist(), median.tolist()) == ([1.0, 2.0], [0.0, 4.5])
    assert_allclose(low, [0, 0.45])
    assert_allclose(high, [0, 8.55])


def test_bands_have_ten_rows_at_least_and_are_twelve_at_most():
    counts = [len(residual_bands(np.arange(n, dtype=float), np.zeros(n))[0]) for n in (9, 19, 20, 120, 130, 1000)]
    assert counts == [1, 1, 2, 12, 12, 12]


def test_plots_name_target_unit_and_advice():
    true = np.arange(40.0)
    exact, left = plots_of_values("age", true, true, "images", "the causes", "The advice.")
    assert "explains 100.0% of the variance of age" in exact.note
    assert exact.note.endswith("too close to the mean: the causes.")
    assert "9 of 10 images lie between" in [text.get_text() for text in left.source.axes[0].get_legend().get_texts()]
    assert "The advice." not in left.note


def test_errors_that_grow_get_the_advice():
    true = np.arange(1.0, 41) * np.where(np.arange(40) % 2, 0.5, 1.5)
    _, left = plots_of_values("age", np.arange(1.0, 41), true, "images", "the causes", "The advice.")
    assert left.note.endswith("times as wide on the right. The advice.")
