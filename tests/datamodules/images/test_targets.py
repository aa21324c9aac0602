import pytest
import torch

from src.datamodules.images.targets import balanced_groups, target_statistics
from tests.datamodules.images.test_augmentation import augmentation
from tests.support.make_data import image_settings
from tests.support.shapes import DrawnShapes

ROWS = {"train": 40, "test": 7}


def shapes(task="multilabel", rows=ROWS, **changes):
    return DrawnShapes(rows=rows, **image_settings(task=task, **changes))


def loaded(task="multilabel", labels=None, **changes):
    """Drawn shapes after setup; `labels` (function of the splits) changes them first."""
    data = shapes(task, **changes)
    splits = data.read()
    if labels is not None:
        labels(splits)
    data.read = lambda: splits
    data.setup("fit")
    return data


def test_several_labels_reach_the_net_as_floats_of_0_and_1():
    _, labels = next(iter(loaded().train_dataloader()))
    assert labels.dtype == torch.float32
    assert labels.shape == (4, 3)
    assert set(labels.flatten().tolist()) == {0.0, 1.0}


def test_numbers_reach_the_net_as_they_are():
    data = loaded("regression")
    _, labels = next(iter(data.test_dataloader()))
    assert torch.equal(labels, shapes("regression").read()["test"].labels[:4])


def test_the_spec_of_classes_names_no_task_as_that_of_older_checkpoints_does_not():
    assert "task" not in loaded("classification").spec


def test_the_spec_of_numbers_has_their_statistics_over_the_training_rows():
    data = loaded("regression", y_range=[0, 100])
    labels = data.splits["train"].own_labels.double().numpy()
    assert data.spec["target_mean"] == pytest.approx(labels.mean(0).tolist())
    assert data.spec["target_std"] == pytest.approx(labels.std(0).tolist())
    assert data.spec["y_range"] == [0.0, 100.0]
    assert data.spec["num_classes"] == 2
    assert data.spec["class_names"] == ["share", "ground"]


def test_each_image_counts_for_its_rarest_label_and_a_single_one_joins_the_largest_group():
    labels = torch.tensor([[1, 1, 0], [1, 1, 0], [1, 0, 0], [1, 0, 1], [0, 0, 0], [0, 0, 1], [0, 0, 0]]).float()
    assert balanced_groups(labels, "multilabel").tolist() == [1, 1, 1, 2, 3, 2, 3]  # the third would be 0


def test_the_rarest_label_has_its_share_of_the_held_out_rows():
    data = loaded(rows={"train": 403, "test": 7})
    held_out, kept = (int(data.splits[split].own_labels[:, 2].sum()) for split in ("valid", "train"))
    assert held_out == round((held_out + kept) / 4)
    assert len(data.splits["valid"]) == pytest.approx(100, abs=2)


@pytest.mark.parametrize("seed", range(5))
def test_a_label_of_two_images_is_in_both_splits(seed):
    def two_triangles(splits):
        splits["train"].labels[:, 2] = 0
        splits["train"].labels[[3, 30], 2] = 1

    data = loaded(labels=two_triangles, seed=seed)
    assert [int(data.splits[split].own_labels[:, 2].sum()) for split in ("train", "valid")] == [1, 1]


def test_numbers_are_held_out_at_random():
    data = loaded("regression")
    assert len(data.splits["valid"]) == 10


def test_labels_that_no_image_has_are_named(capsys):
    def without_triangles(splits):
        splits["train"].labels[:, 2] = 0

    loaded(labels=without_triangles)
    notes = capsys.readouterr().err
    assert "labels that no image of train has cannot be learned: triangle" in notes
    assert "labels that no image of valid has are not in its scores, and keep the threshold 0.5: triangle" in notes


def test_labels_that_all_images_lack_are_refused():
    def without_labels(splits):
        splits["train"].labels[:] = 0

    with pytest.raises(ValueError, match="no image of train has any of the labels circle, square, triangle"):
        loaded(labels=without_labels)


def test_a_number_that_is_always_the_same_is_refused():
    with pytest.raises(ValueError, match="the target b is 3 in all training images: there is nothing to learn"):
        target_statistics(torch.tensor([[1.0, 3.0], [2.0, 3.0]]), ["a", "b"], None)


def test_a_number_beyond_y_range_is_refused():
    with pytest.raises(ValueError, match=r"y_range must hold all targets, got \[0, 1.5\], and a is from 1 to 2"):
        target_statistics(torch.tensor([[1.0], [2.0]]), ["a"], [0, 1.5])


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        (
            {"y_range": [0, 1]},
            r"y_range must be \[lowest, highest\], and is for task=regression, got \[0, 1\]",
        ),
        ({"task": "regression", "y_range": [1, 0]}, r"y_range must be \[lowest, highest\].*got \[1, 0\]"),
        ({"task": "regression", "y_range": [0, 1, 2]}, r"y_range must be \[lowest, highest\]"),
        ({"task": "regression", "augmentation": augmentation(cutmix=0.5)}, "a blend of two images has no true number"),
    ],
)
def test_choices_that_do_not_fit_together_are_refused(choices, words):
    with pytest.raises(ValueError, match=words):
        shapes(**{"task": "multilabel", **choices})


def test_several_labels_may_be_mixed():
    assert shapes(augmentation=augmentation(mixup=0.5)).augmentation.mixes
