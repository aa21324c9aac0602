import math

import pytest
import torch
from torch.testing import assert_close

from src.datamodules.images.scaling import random_boxes, scale, scaled_crop


@pytest.fixture
def images():
    torch.manual_seed(0)
    return torch.randint(0, 256, (2, 8, 12, 3), dtype=torch.uint8)


def test_a_quarter_of_the_size_is_an_average_and_not_a_sample():
    columns = torch.tensor([0, 200], dtype=torch.uint8).repeat(8).expand(1, 1, 16, 16)
    middle = scale(columns, (4, 4))[..., 1:3]
    assert (middle.int() - 100).abs().max() <= 1


def test_bytes_stay_bytes_and_differ_from_floats_by_rounding_only(images):
    planes = images.permute(0, 3, 1, 2)
    small = scale(planes, (5, 7))
    assert small.dtype == torch.uint8
    assert_close(small / 255, scale(planes / 255, (5, 7)), atol=1.01 / 255, rtol=0)


def test_images_of_the_size_come_as_they_are(images):
    planes = images.permute(0, 3, 1, 2)
    assert scale(planes, (8, 12)) is planes


def test_a_crop_is_its_box_scaled(images):
    boxes = torch.tensor([[1, 2, 6, 5], [0, 3, 8, 9]])
    out = scaled_crop(images, boxes, torch.tensor([False, True]), (4, 3))
    assert torch.equal(out[0], scale(images[:1, 1:7, 2:7].permute(0, 3, 1, 2).contiguous(), (4, 3))[0])
    mirrored = images[1:, :, 3:12].flip(2)
    assert torch.equal(out[1], scale(mirrored.permute(0, 3, 1, 2), (4, 3))[0])


def test_a_crop_of_the_size_is_cut_and_nothing_else(images):
    boxes = torch.tensor([[1, 2, 4, 3], [3, 4, 4, 3]])
    out = scaled_crop(images, boxes, torch.tensor([False, False]), (4, 3))
    assert torch.equal(out[1], images[1, 3:7, 4:7].permute(2, 0, 1))


def test_crops_have_channels_last_in_memory(images):
    boxes = torch.tensor([[0, 0, 8, 8], [0, 4, 8, 8]])
    out = scaled_crop(images, boxes, torch.tensor([False, False]), (4, 4))
    assert out.is_contiguous(memory_format=torch.channels_last)


def spans(values, low, high):
    """Whether values lie within two bounds and come near both."""
    room = 0.05 * (high - low)
    return low <= values.min() < low + room and high - room < values.max() <= high


def boxes_of(rows=2000, height=40, width=60, scale=(0.2, 0.7), ratio=(0.8, 1.25)):
    torch.manual_seed(0)
    return random_boxes(rows, height, width, scale, ratio)


def test_boxes_lie_within_the_image_and_reach_its_borders():
    tops, lefts, heights, widths = boxes_of().unbind(1)
    assert (tops.min(), (tops + heights).max()) == (0, 40)
    assert (lefts.min(), (lefts + widths).max()) == (0, 60)


def test_boxes_have_shares_and_ratios_between_the_bounds():
    _, _, heights, widths = boxes_of(height=400, width=600).double().unbind(1)
    assert spans(heights * widths / 240_000, 0.199, 0.701)
    assert spans((widths / heights).log(), math.log(0.795), math.log(1.258))


def test_the_share_of_a_box_is_kept_where_a_ratio_would_not_fit():
    _, _, heights, widths = boxes_of(height=400, width=400, scale=(0.9, 0.9), ratio=(0.1, 10.0)).double().unbind(1)
    assert_close(heights * widths / 160_000, torch.full((2000,), 0.9, dtype=torch.float64), atol=0.005, rtol=0)
    assert spans((widths / heights).log(), math.log(0.895), -math.log(0.895))
