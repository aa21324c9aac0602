import pytest
import torch
from torch.testing import assert_close

from src.models.images.cnn_small import CNNSmall
from src.models.layer_groups import layer_groups


def make(widths=(4, 7)):
    return CNNSmall(2, 3, widths=list(widths)).eval()


def test_logits_by_hand():
    net = CNNSmall(1, 1, widths=[1]).eval()
    net.stages[0][0].weight.data.zero_()[0, 0, 1, 1] = 2.0  # the filter doubles each pixel
    net.head.weight.data.fill_(10.0)
    net.head.bias.data.fill_(1.0)
    pixels = torch.tensor([[3.0, -5.0], [1.0, 4.0]]).view(1, 1, 2, 2)
    # Untrained batch norm divides by sqrt(1 + 1e-5); relu(-10) is 0; the mean of 6, 0, 2, 8 is 4.
    assert net(pixels).item() == pytest.approx(41.0, rel=1e-4)


def test_each_stage_after_the_first_halves_the_image():
    net = make(widths=(4, 7, 5))
    sizes = []
    for stage in net.stages:
        stage.register_forward_hook(lambda module, inputs, output: sizes.append(tuple(output.shape)))
    assert net(torch.randn(2, 2, 12, 9)).shape == (2, 3)
    assert sizes == [(2, 4, 12, 9), (2, 7, 6, 4), (2, 5, 3, 2)]


def test_a_image_of_one_row_is_not_halved():
    assert make()(torch.randn(2, 2, 1, 9)).shape == (2, 3)


def test_rows_do_not_depend_on_each_other_when_scored():
    net, images = make(), torch.randn(5, 2, 6, 8)
    assert_close(net(images)[:2], net(images[:2]))


def test_the_head_is_the_last_layer_group():
    net = make()
    assert layer_groups(net) == [[net.stages], [net.head]]


def test_a_net_without_layers_is_refused():
    with pytest.raises(ValueError, match=r"at least one layer, got \[\]"):
        make(widths=())
