import math

import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score

from src.models.images.label_scores import average_precision, choose_thresholds, label_scores


@pytest.fixture
def rows():
    """200 rows of 4 labels, with ties among the probabilities."""
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.rand(200, 4, generator=generator, dtype=torch.float64).round(decimals=2)
    labels = (torch.rand(200, 4, generator=generator) < 0.5 * probabilities).float()
    return probabilities, labels


def test_average_precision_by_hand():
    scores, present = torch.tensor([0.9, 0.8, 0.7, 0.1]), torch.tensor([True, False, True, False])
    assert average_precision(scores, present) == pytest.approx((1 + 2 / 3) / 2)


def test_scores_equal_those_of_scikit_learn(rows):
    probabilities, labels = rows
    thresholds = torch.tensor([0.3, 0.5, 0.6, 0.9])
    found = label_scores(probabilities, labels, thresholds, list("abcd"))
    predicted = (probabilities >= thresholds).int()
    for place, name in enumerate("abcd"):
        expected = average_precision_score(labels[:, place], probabilities[:, place])
        assert found[f"average_precision_{name}"] == pytest.approx(expected)
        assert found[f"f1_{name}"] == pytest.approx(f1_score(labels[:, place], predicted[:, place]))
    assert found["mean_average_precision"] == pytest.approx(average_precision_score(labels, probabilities))
    assert found["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro"))
    assert found["micro_f1"] == pytest.approx(f1_score(labels, predicted, average="micro"))


def test_without_names_there_are_only_means(rows):
    found = label_scores(*rows, torch.full((4,), 0.5))
    assert list(found) == ["mean_average_precision", "macro_f1", "micro_f1"]


def test_a_label_that_no_row_has_is_left_out_of_the_means():
    probabilities, labels = torch.tensor([[0.9, 0.9], [0.2, 0.1]]), torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    found = label_scores(probabilities, labels, torch.tensor([0.5, 0.5]), ["a", "b"])
    assert found["mean_average_precision"] == found["macro_f1"] == 1
    assert found["micro_f1"] == pytest.approx(2 / 3)  # of one hit and one false alarm
    assert {name for name in found if name.endswith("_b")} == set()


def test_a_probability_that_is_no_number_gives_no_score():
    probabilities = torch.tensor([[0.9, math.nan], [0.2, 0.1]])
    found = label_scores(probabilities, torch.eye(2), torch.tensor([0.5, 0.5]))
    assert found["mean_average_precision"].isnan()
    assert choose_thresholds(probabilities, torch.eye(2)).isfinite().all()


def test_a_threshold_by_hand_lies_halfway_below_the_lowest_chosen_row():
    probabilities = torch.tensor([[0.4], [0.3], [0.2], [0.1]])
    assert choose_thresholds(probabilities, torch.tensor([[1.0], [1.0], [0.0], [0.0]])) == pytest.approx(0.25)


def test_the_chosen_thresholds_have_the_highest_f1_of_all(rows):
    probabilities, labels = rows
    found = label_scores(probabilities, labels, choose_thresholds(probabilities, labels), list("abcd"))
    cuts = [label_scores(probabilities, labels, torch.full((4,), cut / 1000), list("abcd")) for cut in range(1, 1000)]
    for name in ("f1_a", "f1_b", "f1_c", "f1_d"):
        assert found[name] == max(scores[name] for scores in cuts)


def test_the_thresholds_do_not_depend_on_the_order_of_the_rows(rows):
    probabilities, labels = rows
    order = torch.randperm(200, generator=torch.Generator().manual_seed(1))
    assert torch.equal(choose_thresholds(probabilities[order], labels[order]), choose_thresholds(probabilities, labels))


def test_of_equally_good_thresholds_the_one_nearest_to_one_half_is_chosen():
    # From 0.9 on: a hit, F1 2/3. From 0.3 on: two hits and two false alarms, F1 2/3 as well.
    probabilities, labels = torch.tensor([[0.9], [0.6], [0.5], [0.3]]), torch.tensor([[1.0], [0.0], [0.0], [1.0]])
    assert choose_thresholds(probabilities, labels) == pytest.approx(0.75)
    probabilities = torch.tensor([[0.99], [0.9], [0.6], [0.45]])
    assert choose_thresholds(probabilities, labels) == pytest.approx(0.225)  # not 0.945


def test_a_label_that_no_row_has_keeps_one_half():
    assert choose_thresholds(torch.tensor([[0.9, 0.2]]), torch.tensor([[0.0, 1.0]])).tolist() == pytest.approx(
        [0.5, 0.1]
    )
