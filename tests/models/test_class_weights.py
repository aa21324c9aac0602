import pytest
import torch

from src.models.class_weights import check_class_weights, class_weights_of

SPEC = {"class_names": ["a", "b", "c"], "class_counts": [1, 2, 9]}


def test_balanced_weights_make_each_class_count_alike():
    weights = class_weights_of("balanced", SPEC)
    assert weights.tolist() == pytest.approx([4, 2, 4 / 9])  # the mean count is 4
    assert (weights * torch.tensor(SPEC["class_counts"])).tolist() == pytest.approx([4, 4, 4])


def test_whole_numbers_are_weights():
    assert class_weights_of([1, 2, 3], SPEC).dtype == torch.float32


def test_without_weights_there_is_no_tensor():
    assert class_weights_of(None, SPEC) is None


@pytest.mark.parametrize("weights", ["balance", [1.0, 0.0], [-1, 2]])
def test_other_words_and_numbers_are_refused(weights):
    with pytest.raises(ValueError, match="must be null, balanced or positive, one for each class, got"):
        check_class_weights(weights)


def test_a_number_for_each_class_is_needed():
    with pytest.raises(ValueError, match=r"one number for each of \['a', 'b', 'c'\], got \[1, 2\]"):
        class_weights_of([1, 2], SPEC)


@pytest.mark.parametrize("task", ["regression", "multilabel"])
def test_weights_are_for_one_class_a_row(task):
    with pytest.raises(ValueError, match=f"is for one class a row, got balanced with task={task}"):
        class_weights_of("balanced", {**SPEC, "task": task})
