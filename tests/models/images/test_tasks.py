import math

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from src.models.images.tasks import Classification, Multilabel, Regression

CLASSES = {"num_classes": 2, "class_names": ["a", "b"]}
NUMBERS = {**CLASSES, "target_mean": [10.0, -1.0], "target_std": [2.0, 0.5]}


def task(kind, spec=CLASSES, label_smoothing=0.0, regression_loss="mse", **facts):
    return kind(spec | facts, label_smoothing=label_smoothing, regression_loss=regression_loss)


def scored(metric, *batches):
    for batch in batches:
        metric.update(*batch)
    return metric.compute()


def test_the_loss_of_labels_is_the_mean_over_labels_and_images():
    outputs, labels = torch.tensor([[0.0, 1.0], [-2.0, 0.0]]), torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    chances = [0.5, 1 / (1 + math.exp(-1)), 1 - 1 / (1 + math.exp(2)), 0.5]
    losses = [-math.log(chance) for chance in chances]
    assert task(Multilabel).loss(outputs, labels).item() == pytest.approx(sum(losses) / 4)
    expected = [(losses[0] + losses[1]) / 2, (losses[2] + losses[3]) / 2]
    assert task(Multilabel).losses(outputs, labels).tolist() == pytest.approx(expected)


def test_smoothed_labels_are_those_of_two_smoothed_classes():
    outputs, labels = torch.tensor([[0.7, -1.2]]), torch.tensor([[1.0, 0.0]])
    of_two = torch.stack([torch.zeros(2), outputs[0]], 1)  # logits of absent and present
    expected = F.cross_entropy(of_two, labels[0].long(), label_smoothing=0.3)
    assert_close(task(Multilabel, label_smoothing=0.3).loss(outputs, labels), expected)
    assert_close(
        task(Multilabel, label_smoothing=0.3).losses(outputs, labels), task(Multilabel).losses(outputs, labels)
    )


def test_validation_rows_choose_thresholds_and_test_rows_keep_them():
    outputs, labels = torch.tensor([[3.0, 0.2], [2.0, 0.1], [1.0, -1.0]]), torch.tensor([[1.0, 1], [0, 1], [0, 0]])
    found = scored(task(Multilabel).scores("val"), (outputs[:2], labels[:2]), (outputs[2:], labels[2:]))
    expected = [(torch.tensor(a).sigmoid() + torch.tensor(b).sigmoid()) / 2 for a, b in [(3.0, 2.0), (0.1, -1.0)]]
    assert_close(found["thresholds"], torch.stack(expected))
    assert found["macro_f1"] == 1
    again = task(Multilabel, thresholds=[0.999, 0.01])
    scores = scored(again.scores("test"), (outputs, labels))
    assert "thresholds" not in scores
    assert (scores["f1_a"], round(scores["f1_b"].item(), 4)) == (0, 0.8)  # none predicted; all predicted, 2 of 3 right


def test_a_checkpoint_needs_a_threshold_for_each_label():
    with pytest.raises(ValueError, match=r"2 labels need a threshold each, got \[0\.5\]"):
        task(Multilabel, thresholds=[0.5])


def test_numbers_are_learned_on_the_scale_of_their_deviation():
    outputs, labels = torch.tensor([[0.0, 1.0]]), torch.tensor([[12.0, -1.0]])  # scaled: 1 and 0
    assert task(Regression, NUMBERS).loss(outputs, labels) == 1
    assert task(Regression, NUMBERS).loss(torch.tensor([[3.0, 0.0]]), labels) == 2
    assert task(Regression, NUMBERS, regression_loss="l1").loss(torch.tensor([[3.0, 0.0]]), labels) == 1
    assert task(Regression, NUMBERS).losses(torch.tensor([[3.0, 0.0]]), labels).tolist() == [2]


def test_answers_are_in_the_targets_units():
    assert task(Regression, NUMBERS).answers(torch.tensor([[0.5, -2.0]])).tolist() == [[11.0, -2.0]]


def test_numbers_keep_the_precision_of_float32():
    labels = torch.tensor([[123456.789, 0.1]])
    regression = task(Regression, target_mean=[123400.0, 0.0], target_std=[100.0, 1.0])
    outputs = (labels - torch.tensor([[123400.0, 0.0]])) / torch.tensor([[100.0, 1.0]])
    assert_close(regression.answers(outputs), labels, rtol=1e-7, atol=0)


@pytest.mark.parametrize("output", [-1e4, -3.0, 0.0, 3.0, 1e4])
def test_answers_lie_within_y_range(output):
    regression = task(Regression, NUMBERS, y_range=[-1.1, 13.3])
    answer = regression.answers(torch.tensor([[output, output]]))
    assert_close(answer, torch.full((1, 2), -1.1 + 14.4 / (1 + math.exp(-max(output, -700.0)))))
    assert torch.tensor(-1.1) <= answer.min() <= answer.max() <= torch.tensor(13.3)


def test_the_loss_within_y_range_is_that_of_the_answers():
    regression = task(Regression, NUMBERS, y_range=[0.0, 20.0])
    assert regression.loss(torch.zeros(1, 2), torch.tensor([[10.0, -1.0]])) == pytest.approx((22**2 + 0) / 2)


def test_scores_of_numbers_are_in_their_units_and_the_loss_is_scaled():
    outputs, labels = torch.tensor([[0.0, 0.0], [1.0, 2.0]]), torch.tensor([[11.0, -1.0], [14.0, 0.0]])
    found = scored(task(Regression, NUMBERS).scores("test"), (outputs[:1], labels[:1]), (outputs[1:], labels[1:]))
    assert found["mae_a"] == 1.5  # answers 10 and 12
    assert found["rmse_a"] == pytest.approx(math.sqrt(2.5))
    assert found["r2_a"] == pytest.approx(1 - 2.5 / 2.25)
    assert (found["rmse_b"], found["r2_b"]) == (0, 1)
    assert found["loss"] == pytest.approx((0.25 + 1) / 4)


def test_numbers_are_not_smoothed():
    outputs, labels = torch.tensor([[0.0, 1.0]]), torch.tensor([[12.0, -1.0]])
    assert task(Regression, NUMBERS, label_smoothing=0.3).loss(outputs, labels) == 1


@pytest.mark.parametrize(
    ("kind", "answers", "labels", "score"),
    [
        (Classification, [[0.6, 0.4], [0.3, 0.7]], [0, 0], {"accuracy": 0.5}),
        (Multilabel, [[0.6, 0.4], [0.3, 0.7]], [[1.0, 1], [0, 0]], {"mean_average_precision": 0.75}),
        (Regression, [[11.0, 0.0], [13.0, 1.0]], [[10.0, 0.0], [14.0, 1.0]], {"r2": 0.875}),
    ],
)
def test_several_views_are_scored_by_their_mean_answers(kind, answers, labels, score):
    found = scored(task(kind, NUMBERS).tta_scores(), (torch.tensor(answers), torch.tensor(labels)))
    assert {name: value.item() for name, value in found.items()} == pytest.approx(score)


def test_class_weights_weigh_the_training_loss_alone():
    outputs, labels = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), torch.tensor([0, 1])
    plain = task(Classification)
    weighted = Classification(
        CLASSES, label_smoothing=0.0, regression_loss="mse", class_weights=torch.tensor([3, 1, 1.0])
    )
    first, second = plain.losses(outputs, labels)
    assert weighted.loss(outputs, labels) == pytest.approx(float(3 * first + second) / 4)
    assert torch.equal(weighted.losses(outputs, labels), plain.losses(outputs, labels))
