import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from src.datamodules.images.split import (
    ImageSplit,
    channel_statistics,
    chosen_classes,
    class_numbers,
    draw_per_class,
    keep_classes,
)

# 4 rows of class 0, 7 of class 1, 10 of class 2, mixed
LABELS = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [4, 7, 10]))


def split_of(labels):
    return ImageSplit(torch.arange(len(labels) * 6, dtype=torch.uint8).view(-1, 1, 2, 3), torch.tensor(labels))


def test_a_split_taken_of_a_split_keeps_to_its_rows():
    rows = split_of([0, 1, 2, 3, 4]).take(np.array([1, 2, 4])).take(np.array([0, 2]))
    assert rows.own_labels.tolist() == [1, 4]
    assert len(rows) == 2


def test_splits_share_the_images_memory():
    whole = split_of([0, 1, 2])
    assert whole.take(np.array([1])).images.data_ptr() == whole.images.data_ptr()


def test_a_split_moves_with_its_own_rows_alone():
    moved = split_of([0, 1, 2, 3]).take(np.array([3, 1])).to(torch.device("cpu"))
    assert moved.images[:, 0, 0, 0].tolist() == [18, 6]
    assert moved.labels.tolist() == [3, 1]
    assert moved.rows.tolist() == [0, 1]


def test_so_many_rows_of_each_class_are_drawn():
    drawn = draw_per_class(LABELS, 3, seed=0)
    assert np.bincount(LABELS[drawn]).tolist() == [3, 3, 3]
    assert len(set(drawn)) == 9


def test_a_larger_draw_keeps_the_smaller_one():
    assert set(draw_per_class(LABELS, 2, seed=0)) < set(draw_per_class(LABELS, 3, seed=0))


def test_a_draw_depends_on_the_seed_alone():
    first, again, other = (draw_per_class(LABELS, 3, seed).tolist() for seed in (0, 0, 1))
    assert first == again != other


def test_more_rows_than_a_class_has_cannot_be_drawn():
    with pytest.raises(ValueError, match=r"train_per_class must be at most 4.*got 5"):
        draw_per_class(LABELS, 5, seed=0)


def test_kept_classes_are_renumbered_in_the_order_given():
    kept = keep_classes(split_of([0, 1, 2, 3, 1, 3]), ["d", "b"], ["a", "b", "c", "d"])
    assert kept.rows.tolist() == [1, 3, 4, 5]
    assert kept.own_labels.tolist() == [1, 0, 1, 0]


def test_classes_are_kept_within_a_splits_rows():
    split = split_of([0, 1, 0, 1]).take(np.array([0, 1]))
    assert keep_classes(split, ["a", "b"], ["a", "b"]).rows.tolist() == [0, 1]


def test_a_wrong_class_name_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match=r"no class cats; did you mean cat\?"):
        class_numbers(["dog", "cats"], ["bird", "cat", "dog"])


def test_a_class_name_like_no_other_is_answered_with_all():
    with pytest.raises(ValueError, match="no class xylophone; there are bird, cat, dog"):
        class_numbers(["dog", "xylophone"], ["bird", "cat", "dog"])


@pytest.mark.parametrize("classes", [["cat"], [], ["cat", "dog", "cat"]])
def test_fewer_than_two_classes_or_one_twice_are_refused(classes):
    with pytest.raises(ValueError, match="must name two classes or more, each once, got"):
        class_numbers(classes, ["cat", "dog"])


def test_statistics_of_one_channel_by_hand():
    pixels = torch.tensor([0, 255, 255, 0], dtype=torch.uint8).view(2, 1, 2, 1)
    assert channel_statistics(ImageSplit(pixels, torch.zeros(2))) == ([0.5], [0.5])


def test_statistics_are_numpys_for_each_channel():
    images = torch.randint(0, 256, (70, 3, 5, 2), dtype=torch.uint8)
    mean, std = channel_statistics(ImageSplit(images, torch.zeros(70)))
    pixels = images.numpy() / 255
    np.testing.assert_allclose(mean, pixels.mean((0, 1, 2)), atol=1e-6)
    np.testing.assert_allclose(std, pixels.std((0, 1, 2)), atol=1e-6)


def test_statistics_are_of_the_splits_own_rows():
    images = torch.tensor([0, 255, 51], dtype=torch.uint8).view(3, 1, 1, 1)
    assert channel_statistics(ImageSplit(images, torch.zeros(3), torch.tensor([2]))) == ([0.2], [1.0])


def test_a_channel_without_variation_has_deviation_one():
    assert channel_statistics(ImageSplit(torch.full((2, 1, 1, 1), 51, dtype=torch.uint8), torch.zeros(2))) == (
        [0.2],
        [1.0],
    )


@pytest.mark.parametrize("limits", [{"max_rows": 3}, {"max_pixels": 6}])
def test_statistics_of_many_rows_are_of_some_spread_evenly(limits):
    images = torch.zeros(9, 2, 1, 1, dtype=torch.uint8)
    images[::3] = 51
    assert channel_statistics(ImageSplit(images, torch.zeros(9)), **limits) == ([0.2], [1.0])


NAMES = ["yes", "no", "1e3", "null", "007", "0x1F", "cat", "010", "8", "1.50"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[yes, no]", ["yes", "no"]),
        ("[no, true, cat]", ["no", "yes", "cat"]),
        ("[1e3, null]", ["1e3", "null"]),
        ("[~, 007, 1.5]", ["null", "007", "1.50"]),
        ("[0x1F, '8', '010']", ["0x1F", "8", "010"]),
    ],
)
def test_classes_are_found_whatever_yaml_reads_them_as(text, names):
    assert chosen_classes(list(OmegaConf.create(f"classes: {text}").classes), NAMES) == names


def test_a_value_that_may_be_two_classes_is_refused():
    with pytest.raises(ValueError, match=r"classes: 8, as YAML reads it, may be 010 or 8; .*put the name in quotes"):
        chosen_classes([8, "cat"], NAMES)
    with pytest.raises(ValueError, match="classes: True, as YAML reads it, may be yes or on;"):
        chosen_classes([True, "cat"], ["yes", "on", "cat"])


@pytest.mark.parametrize("value", [False, None, 3, 0.5])
def test_a_value_that_is_no_class_is_refused(value):
    with pytest.raises(ValueError, match=rf"classes: {value}, as YAML reads it, is no class; there are yes, cat"):
        chosen_classes([value, "cat"], ["yes", "cat"])


def test_a_class_may_be_spelled_in_either_form_of_unicode():
    assert chosen_classes(["e\u0301lan", "cat"], ["cat", "\u00e9lan"]) == ["\u00e9lan", "cat"]
