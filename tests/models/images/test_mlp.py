import pytest
import torch
from torch import nn
from torch.testing import assert_close

from src.models.images.mlp import MLP


def make(widths=(7, 4), relu=True, dropout=0.0):
    return MLP(2, 3, [6, 5], widths=list(widths), relu=relu, dropout=dropout)


def test_layers_are_as_wide_as_asked():
    shapes = [tuple(layer.weight.shape) for layer in make().modules() if isinstance(layer, nn.Linear)]
    assert shapes == [(7, 60), (4, 7), (3, 4)]


def test_logits_by_hand():
    net = MLP(1, 1, [1, 2], widths=[2], relu=True, dropout=0.0)
    net.hidden[0].weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    net.hidden[0].bias.data = torch.tensor([0.0, 1.0])
    net.head.weight.data = torch.tensor([[10.0, 100.0]])
    net.head.bias.data = torch.tensor([0.5])
    assert net(torch.tensor([[[[-3.0, 2.0]]]])).item() == 300.5  # relu(-3) is 0; (2 + 1) x 100 + 0.5


def test_without_relu_all_layers_are_one_linear_map():
    net = make(relu=False)
    zero, a, b = net(torch.zeros(1, 2, 6, 5)), torch.randn(4, 2, 6, 5), torch.randn(4, 2, 6, 5)
    assert_close(net(a + b) - zero, (net(a) - zero) + (net(b) - zero))


def test_with_relu_they_are_not():
    net = make()
    a = torch.randn(4, 2, 6, 5)
    zero = net(torch.zeros_like(a))
    assert not torch.allclose(net(2 * a) - zero, 2 * (net(a) - zero))


def test_no_hidden_layer_is_logistic_regression():
    net, images = make(widths=()), torch.randn(4, 2, 6, 5)
    assert_close(net(images), images.flatten(1) @ net.head.weight.T + net.head.bias)


def test_hidden_activations_are_dropped_in_training_alone():
    torch.manual_seed(0)
    net, images = make(dropout=0.5), torch.randn(4, 2, 6, 5)
    assert not torch.equal(net(images), net(images))
    net.eval()
    assert torch.equal(net(images), net(images))


def test_images_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"takes images of \(2, 6, 5\), got \(2, 5, 6\)"):
        make()(torch.zeros(4, 2, 5, 6))
