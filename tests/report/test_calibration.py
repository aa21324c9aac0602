import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from src.report.calibration import draw_reliability, reliability_of, reliability_plot

CONFIDENCE = np.array([0.51, 0.52, 0.9, 0.91], np.float32)  # two bins of a fifteenth
RIGHT = np.array([True, False, True, True])


def test_a_bin_has_its_answers_mean_confidence_and_accuracy():
    reliability = reliability_of(CONFIDENCE, RIGHT)
    assert reliability.counts.tolist() == [2, 2]
    assert reliability.confidence == pytest.approx([0.515, 0.905])
    assert reliability.accuracy.tolist() == [0.5, 1]


def test_the_error_is_the_mean_gap():
    assert reliability_of(CONFIDENCE, RIGHT).error == pytest.approx((0.015 + 0.095) / 2)


NOISE = torch.randn(500, 7, generator=torch.Generator().manual_seed(0))
SURE = torch.tensor([[3.0, 0.0], [200.0, 0.0]])  # 0.95 and, to the last bit, 1


@pytest.mark.parametrize("logits", [NOISE, 40 * NOISE, SURE], ids=["noise", "loud", "sure"])
def test_the_error_is_torchmetrics(logits):
    rows, classes = logits.shape
    labels = torch.arange(rows) % classes
    confidence, predicted = logits.softmax(1).max(1)
    expected = float(multiclass_calibration_error(logits, labels, classes))
    assert reliability_of(confidence.numpy(), (predicted == labels).numpy()).error == pytest.approx(expected, abs=1e-6)


def test_every_answer_is_counted_in_the_bars():
    confidence = np.array([0.1, 0.5, 1, 1], np.float32)
    figure = draw_reliability(reliability_of(confidence, RIGHT), confidence, "confidence", "correct", "images")
    assert sum(bar.get_height() for bar in figure.axes[1].patches) == 4


def test_the_plot_says_how_far_off_the_probabilities_are():
    note = reliability_plot(CONFIDENCE, RIGHT, "images", "More data helps.").note
    assert "for which the net gives the predicted class a probability of 80%, 80% should be correct" in note
    assert "the probability is 71.0%, and 75.0% are correct. " in note
    assert note.endswith("is 0.0550. More data helps.")


def test_the_probability_of_one_class_is_named():
    plot = reliability_plot(CONFIDENCE, RIGHT, "rows", "", "late")
    assert "75.0% are late. " in plot.note
    labels = [plot.source.axes[0].get_ylabel(), plot.source.axes[1].get_xlabel(), plot.source.axes[1].get_ylabel()]
    assert labels == ["share that is late", "predicted probability of late", "rows"]
