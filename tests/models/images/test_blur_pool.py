import torch
from torch.testing import assert_close

from src.models.images.blur_pool import BlurPool


def test_a_point_is_spread_by_hand():
    point = torch.zeros(1, 1, 4, 4)
    point[0, 0, 1, 2] = 16.0
    # Kept: rows and columns 0 and 2; the point is a row away from both, in column 2.
    assert BlurPool()(point)[0, 0].tolist() == [[0.0, 2.0], [0.0, 2.0]]


def test_an_even_picture_stays_even_up_to_its_border():
    assert_close(BlurPool()(torch.full((2, 3, 5, 7), 4.0)), torch.full((2, 3, 3, 4), 4.0))


def test_channels_do_not_mix():
    images = torch.zeros(1, 3, 4, 4)
    images[:, 1] = 1.0
    assert BlurPool()(images).amax((0, 2, 3)).tolist() == [0.0, 1.0, 0.0]


def test_a_picture_of_one_pixel_passes():
    assert BlurPool()(torch.full((1, 1, 1, 1), 3.0)).item() == 3.0


def test_stripes_vanish_that_would_alias():
    stripes = torch.tensor([0.0, 1.0] * 4).expand(1, 1, 8, 8)
    blurred = BlurPool()(stripes)[..., 1:]  # the border is repeated, so the first column differs
    assert_close(blurred, torch.full_like(blurred, 0.5))


def test_the_filter_is_no_weight():
    assert BlurPool().state_dict() == {}
