from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from src.report.tables.net import TableNet, read_rows
from src.report.tables.outcomes import (
    class_plots,
    draw_probabilities,
    draw_true_classes,
    value_plots,
)
from tests.support.small_table import frame_of, model_of, table_of


def plots(data, function, make):
    rows, _ = read_rows(data, 1000)
    return make(TableNet(model_of(data, function)), rows)


def test_a_net_that_knows_the_classes_is_found_right(tmp_path):
    frame = frame_of(200).assign(open=lambda frame: frame["late"])
    data = table_of(tmp_path, "binary", frame)
    yes = ["", "", *data.spec["processing"]["categories"]["open"]].index("yes")
    reliability, scores, confusion = plots(data, lambda c, x: 200.0 * (c[:, 1:2] == yes) - 100, class_plots)
    assert "calibration error, is 0.0000" in reliability.note
    assert "AUROC is 1.0000" in scores.note
    assert "100 of 100 rows lie on the diagonal" in confusion.alt


def test_a_net_that_is_too_sure_is_found_out(tmp_path):
    data = table_of(tmp_path, "binary")
    reliability, scores, _ = plots(data, lambda c, x: 0 * x[:, :1] + np.log(9), class_plots)
    share = data.splits["test"].targets.double().mean().item()
    assert f"On average the probability is 90.0%, and {share:.1%} are yes" in reliability.note
    assert f"calibration error, is {0.9 - share:.4f}" in reliability.note
    assert "AUROC is 0.5000" in scores.note


def test_several_classes_are_scored_by_the_most_probable_one(tmp_path):
    data = table_of(tmp_path, "multiclass")
    reliability, own, confusion = plots(data, lambda c, x: torch.eye(4)[0].expand(len(x), 4), class_plots)
    right = data.splits["test"].targets == 0
    assert f"and {right.double().mean():.1%} are correct" in reliability.note
    assert "4 classes" in own.alt
    assert f"{right.sum()} of {len(right)} rows lie on the diagonal" in confusion.alt


def test_the_class_that_is_found_worst_is_on_top():
    probabilities = np.array([[0.9, 0.1, 0.0], [0.8, 0.1, 0.1], [0.7, 0.3, 0.0]])
    figure, drawn = draw_true_classes(probabilities, np.array([0, 0, 1]), ["x", "y", "z"])
    assert drawn == 2
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["y (1)", "x (2)"]


def test_each_class_has_its_shares_of_scores():
    figure = draw_probabilities(np.array([0.01, 0.01, 0.5, 0.99]), np.array([0, 0, 0, 1]), ["no", "$yes$"])
    (no, yes) = [np.array([bar.get_height() for bar in bars]) for bars in figure.axes[0].containers]
    assert_allclose([no[0], no[12], yes[-1]], [200 / 3, 100 / 3, 100])
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == [
        "true no (3)",
        "true $yes$ (1)",
    ]


def test_residuals_are_the_truth_minus_the_prediction(tmp_path):
    data = table_of(tmp_path)
    state = data.spec["processing"]["target"]
    predicted, left = plots(data, lambda c, x: 0 * x[:, :1] + 1, value_plots)
    truth = data.splits["test"].targets.double().numpy() * state["std"] + state["mean"]
    expected = (truth - state["mean"] - state["std"]).mean()
    assert f"the mean is {expected:.4g}" in left.alt
    assert "0.0% of the variance" in predicted.note
    assert left.source.axes[0].collections[0].get_offsets()[:, 1].mean() == pytest.approx(expected)


@pytest.mark.parametrize(("scaling", "advice"), [("standardise", "=log) may fit better"), ("log", "This is natural")])
def test_growing_errors_are_noted(tmp_path, scaling, advice):
    frame = frame_of(400).assign(price=lambda f: (f["id"] + 1) * np.where(np.arange(400) % 2, 0.5, 1.5))
    data = table_of(tmp_path, frame=frame, target_scaling=scaling)
    _, left = plots(data, lambda c, x: x[:, 2:3], value_plots)
    assert advice in left.note


def test_errors_of_one_size_are_not_called_growing(tmp_path):
    _, left = plots(table_of(tmp_path), lambda c, x: x[:, 2:3], value_plots)
    assert left.note.endswith("is a pattern that the net has missed.")


def test_of_many_classes_the_twenty_hardest_are_drawn():
    own = np.arange(21) / 21
    figure, drawn = draw_true_classes(np.diag(own), np.arange(21), [f"class {number}" for number in range(21)])
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert (drawn, names[0], names[-1]) == (20, "class 0 (1)", "class 19 (1)")


@pytest.mark.parametrize(("count", "has_matrix"), [(60, True), (61, False)])
def test_more_than_sixty_classes_have_no_matrix(count, has_matrix):
    net = SimpleNamespace(
        is_binary=False,
        names=[str(number) for number in range(count)],
        predictions=lambda rows: np.full((2, count), 1 / count),
        truth=lambda rows: np.array([0, 1]),
    )
    titles = [part.title for part in class_plots(net, rows=None)]
    assert ("Confusion matrix" in titles) == has_matrix
    assert titles[:2] == ["Reliability", "Probabilities by class"]
