import pytest
import torch
from torch.testing import assert_close

from src.models.images.air_net import AirNet, ShiftNorm, identity_convolution


def net(in_chans=3, widths=(5, 6)):
    return AirNet(in_chans, 4, widths=list(widths), norm_momentum=0.3)


@pytest.mark.parametrize(("in_chans", "size"), [(3, 32), (1, 28), (2, 9), (3, 2)])
def test_it_gives_one_logit_for_each_class_at_any_size(in_chans, size):
    assert net(in_chans)(torch.rand(2, in_chans, size, size)).shape == (2, 4)


def test_the_net_of_conf_has_the_parameters_that_conf_says():
    air = AirNet(3, 10, widths=[64, 256, 256], norm_momentum=0.3)
    # 3x3 filters 24-64, 64-64, 64-256, 256-256 three times, a shift for each channel of a norm, the head
    filters = 9 * (24 * 64 + 64 * 64 + 64 * 256 + 3 * 256 * 256)
    assert sum(p.numel() for p in air.parameters()) == filters + 2 * (64 + 256 + 256) + 2560


def test_convolutions_begin_as_the_identity_on_the_channels_that_come_in():
    images = torch.rand(2, 3, 5, 5)
    assert_close(identity_convolution(3, 7)(images)[:, :3], images)
    assert_close(identity_convolution(3, 3)(images), images)


def test_norms_learn_a_shift_and_no_scale():
    norm = ShiftNorm(3, 0.3).train()
    assert [name for name, _ in norm.named_parameters()] == ["bias"]
    with torch.no_grad():
        norm.bias.copy_(torch.tensor([1.0, 2.0, 3.0]))
    out = norm(torch.randn(50, 3, 4, 4) * 5 + 1)
    assert_close(out.mean((0, 2, 3)), norm.bias.detach())
    assert_close(out.std((0, 2, 3), correction=0), torch.ones(3), atol=1e-3, rtol=0)


def test_the_last_layer_group_is_the_head():
    air = net()
    assert air.layer_groups() == [[air.stages[0]], [air.stages[1]], [air.head]]
    assert len(net(widths=[5]).layer_groups()) == 2


@pytest.mark.parametrize("widths", [[], [4, 0]])
def test_stages_need_a_width(widths):
    with pytest.raises(ValueError, match="AirNet needs a width of 1 or more for each stage"):
        net(widths=widths)
