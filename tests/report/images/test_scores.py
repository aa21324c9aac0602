import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from src.report.images.scores import class_scores, draw_class_scores, weakest_and_best

COUNTS = np.array([[5, 1, 0], [0, 7, 0], [0, 2, 8]])


def test_the_weakest_class_comes_first():
    assert [score.name for score in class_scores(COUNTS, ["cat", "dog", "owl"])] == ["dog", "owl", "cat"]


def test_scores_are_sklearn_s():
    counts = np.random.default_rng(0).integers(1, 9, (4, 4))
    pairs = [pair for pair in np.ndindex(4, 4) for _ in range(counts[pair])]
    scores = {score.name: score for score in class_scores(counts, list("abcd"))}
    for name, *expected in zip("abcd", *precision_recall_fscore_support(*zip(*pairs, strict=True)), strict=True):
        score = scores[name]
        assert [score.precision, score.recall, score.f1, score.count] == pytest.approx(expected)


def test_a_class_without_images_is_left_out():
    assert [score.name for score in class_scores(np.array([[3, 1], [0, 0]]), ["cat", "dog"])] == ["cat"]


def test_a_class_that_is_never_predicted_has_no_precision():
    weakest, _ = class_scores(np.array([[3, 0], [2, 0]]), ["cat", "dog"])
    assert np.isnan(weakest.precision)
    assert (weakest.name, weakest.recall, weakest.f1, weakest.count) == ("dog", 0, 0, 2)


def test_of_many_classes_the_weakest_and_the_best_are_weakest_and_best():
    scores = class_scores(np.diag(range(1, 41)) + 1, [str(i) for i in range(40)])
    assert weakest_and_best(scores[:30]) == scores[:30]
    assert len(weakest_and_best(scores[:31])) == 25
    assert weakest_and_best(scores) == scores[:20] + scores[-5:]


def test_precision_and_recall_are_drawn_from_top_to_bottom():
    axes = draw_class_scores(class_scores(COUNTS, ["cat", "dog", "owl"])).axes[0]
    precision, recall = axes.lines
    assert precision.get_xdata() == pytest.approx([0.7, 1, 1])
    assert recall.get_xdata() == pytest.approx([1, 0.8, 5 / 6])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["dog", "owl", "cat"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]


def test_no_score_above_one_is_on_the_axis():
    axes = draw_class_scores(class_scores(COUNTS, ["cat", "dog", "owl"])).axes[0]
    assert max(axes.get_xticks()) == pytest.approx(1)
    assert axes.get_xlim()[0] == pytest.approx(0.67)
