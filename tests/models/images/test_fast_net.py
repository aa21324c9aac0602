import pytest
import torch
from torch.testing import assert_close

from src.models.images.fast_net import ConvBlock, FastNet, PatchStem, colour_axes


def net(in_chans=3, widths=(5, 6, 7), depths=(1, 2, 2)):
    return FastNet(in_chans, 4, widths=list(widths), depths=list(depths), norm_momentum=0.3)


@pytest.mark.parametrize(("in_chans", "size"), [(3, 32), (1, 28), (2, 9), (3, 2)])
def test_it_gives_one_logit_for_each_class_at_any_size(in_chans, size):
    assert net(in_chans)(torch.rand(2, in_chans, size, size)).shape == (2, 4)


def test_the_net_of_the_one_minute_experiment_has_the_parameters_that_conf_says():
    fast = FastNet(3, 10, widths=[32, 64, 128], depths=[1, 2, 2], norm_momentum=0.3)
    # 3x3 filters 24-32, 32-64, 64-64, 64-128, 128-128, two numbers a norm, the head
    filters = 9 * (24 * 32 + 32 * 64 + 64 * 64 + 64 * 128 + 128 * 128)
    assert sum(p.numel() for p in fast.parameters()) == filters + 2 * (32 + 64 + 64 + 128 + 128) + 1280


@pytest.mark.parametrize("in_chans", [1, 2, 3])
def test_the_stems_filters_are_orthonormal(in_chans):
    rows = PatchStem(in_chans, 0.3).filters.flatten(1)
    assert_close(rows @ rows.T, torch.eye(4 * in_chans))


def test_the_first_filter_sums_up_brightness():
    # 12 equal values: 1 / sqrt(12) each
    assert_close(PatchStem(3, 0.3).filters[0], torch.full((3, 2, 2), 12**-0.5))


def test_the_stem_gives_positive_and_negative_parts_of_unit_variance():
    images = torch.randn(64, 3, 9, 9, generator=torch.Generator().manual_seed(0)).mul(3).add(5)
    positive, negative = PatchStem(3, 0.3).train()(images).chunk(2, dim=1)
    whole = positive - negative
    assert_close(whole.var((0, 2, 3), correction=0), torch.ones(12), atol=1e-3, rtol=0)
    assert (positive * negative).abs().max() == 0


def test_the_stem_learns_nothing():
    assert list(PatchStem(3, 0.3).parameters()) == []


def test_channels_that_are_no_colours_stay_apart():
    assert_close(colour_axes(2), torch.eye(2))


def test_the_last_layer_group_is_the_head():
    fast = net()
    groups = fast.layer_groups()
    assert groups[-1] == [fast.head]
    assert groups[0] == [fast.stages[0], fast.stages[1]]


def test_a_net_of_one_stage_has_two_layer_groups():
    assert len(net(widths=[5], depths=[1]).layer_groups()) == 2


def test_widths_and_depths_of_different_length_are_refused():
    with pytest.raises(ValueError, match=r"width and a depth .* got widths=\[5, 6\], depths=\[1\]"):
        net(widths=[5, 6], depths=[1])


def test_a_later_block_of_a_stage_adds_to_its_input():
    block = ConvBlock(3, 3, 0.3, halve=False).eval()
    torch.nn.init.zeros_(block.convolution.weight)
    images = torch.rand(2, 3, 5, 5)
    assert_close(block(images), images)


def test_the_first_block_of_a_stage_halves():
    assert ConvBlock(3, 5, 0.3, halve=True)(torch.rand(2, 3, 9, 8)).shape == (2, 5, 4, 4)
