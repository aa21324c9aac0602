import math

import pytest
import torch
from torch.testing import assert_close
from torchmetrics.functional.classification import binary_auroc, multiclass_auroc

from src.models.tables.scores import area_under_roc, class_scores


def logs(*probabilities):
    return torch.tensor(probabilities, dtype=torch.float64).log()


def test_log_loss_and_accuracy_by_hand():
    scores = class_scores(logs([0.5, 0.25, 0.25], [0.25, 0.5, 0.25], [0.25, 0.25, 0.5]), torch.tensor([0, 2, 2]))
    assert scores["loss"].item() == pytest.approx((2 * math.log(2) + math.log(4)) / 3)
    assert scores["accuracy"].item() == pytest.approx(2 / 3)


def test_auroc_is_the_share_of_pairs_in_order_and_half_of_the_equal_ones():
    scores, positive = torch.tensor([0.1, 0.4, 0.4, 0.8]), torch.tensor([False, False, True, True])
    assert area_under_roc(scores, positive) == 3.5 / 4  # 0.4 and 0.4 are the half


def test_auroc_equals_torchmetrics():
    scores, positive = torch.rand(999).round(decimals=2), torch.rand(999) < 0.3
    assert_close(area_under_roc(scores, positive).float(), binary_auroc(scores, positive.long()))


def test_auroc_without_a_negative_row_is_undefined():
    assert area_under_roc(torch.tensor([0.1, 0.2]), torch.tensor([True, True])).isnan()


def test_auroc_of_two_classes_is_the_seconds():
    scores = class_scores(logs([0.9, 0.1], [0.6, 0.4], [0.7, 0.3]), torch.tensor([0, 1, 1]))
    assert scores["auroc"] == 1.0


def test_auroc_of_many_classes_is_the_mean_of_each_against_all_others():
    probabilities, classes = torch.rand(50, 4, dtype=torch.float64).softmax(1), torch.randint(4, (50,))
    expected = multiclass_auroc(probabilities.float(), classes, 4, average="macro")
    assert_close(class_scores(probabilities.log(), classes)["auroc"].float(), expected)


def test_a_class_without_rows_does_not_count():
    probabilities = logs([0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1])
    assert class_scores(probabilities, torch.tensor([0, 1, 0]))["auroc"] == 1.0


def test_calibration_error_of_two_classes_by_hand():
    # The second class at 0.3, where half the rows are of it, and at 0.9, where all are.
    scores = class_scores(logs([0.7, 0.3], [0.7, 0.3], [0.1, 0.9], [0.1, 0.9]), torch.tensor([0, 1, 1, 1]))
    assert scores["calibration_error"].item() == pytest.approx((0.2 + 0.1) / 2)


def test_calibration_error_of_many_classes_by_hand():
    scores = class_scores(logs([0.8, 0.1, 0.1], [0.1, 0.1, 0.8]), torch.tensor([0, 0]))
    assert scores["calibration_error"].item() == pytest.approx(0.3)  # half right, at a confidence of 0.8


@pytest.mark.parametrize("num_classes", [2, 3])
def test_a_row_of_weight_three_counts_as_three_rows(num_classes):
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(40, num_classes, generator=generator, dtype=torch.float64).log_softmax(1)
    outputs[5] = outputs[3]  # a tie
    classes = torch.arange(40) % num_classes
    weights = torch.randint(0, 4, (40,), generator=generator)
    expected = class_scores(outputs.repeat_interleave(weights, 0), classes.repeat_interleave(weights))
    found = class_scores(outputs, classes, weights.double())
    assert_close(found, expected, check_dtype=False, rtol=1e-6, atol=1e-7)
