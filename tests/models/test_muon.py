import pytest
import torch
from torch import nn
from torch.testing import assert_close

from src.models.muon import Muon, orthogonalize

CHOICES = {"momentum": 0.5, "weight_decay": 0.0, "sgd_ratio": 2.0, "newton_schulz_steps": 3}


def stepped(parameter, gradients, lr=0.1, **choices):
    optimizer = Muon([parameter], lr, **{**CHOICES, **choices})
    for gradient in gradients:
        parameter.grad = gradient
        optimizer.step()
    return parameter.detach()


@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (5, 5)])
def test_singular_values_end_near_one(shape):
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalize(matrix, steps=8).float())
    assert ((values > 0.6) & (values < 1.3)).all()


def test_singular_vectors_stay():
    matrix = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    turned = left.T @ orthogonalize(matrix, steps=8).float() @ right.T
    assert_close(turned - turned.diag().diag(), torch.zeros(4, 4), atol=0.03, rtol=0)


def test_a_bias_moves_by_nesterov_sgd_at_its_own_rate():
    bias = nn.Parameter(torch.tensor([1.0]))
    # lr 0.1 * 2.  Step 1: m = 1, update 1 + 0.5 * 1.  Step 2: m = 0.5 + 2, update 2 + 0.5 * 2.5.
    moved = stepped(bias, [torch.tensor([1.0]), torch.tensor([2.0])])
    assert_close(moved, torch.tensor([1 - 0.2 * 1.5 - 0.2 * 3.25]))


def test_a_linear_layer_moves_as_torchs_nesterov_sgd():
    draw = torch.Generator().manual_seed(0)
    weight = nn.Parameter(torch.randn(2, 3, generator=draw))
    reference = nn.Parameter(weight.detach().clone())
    gradients = [torch.randn(2, 3, generator=draw) for _ in range(3)]
    sgd = torch.optim.SGD([reference], 0.2, momentum=0.5, nesterov=True)
    for gradient in gradients:
        reference.grad = gradient
        sgd.step()
    assert_close(stepped(weight, gradients), reference.detach())


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_a_filter_moves_by_an_orthogonal_matrix_of_the_size_of_its_lr(memory_format):
    gradient = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(0)).to(memory_format=memory_format)
    filters = nn.Parameter(torch.zeros(4, 2, 3, 3).to(memory_format=memory_format))
    moved = stepped(filters, [gradient], newton_schulz_steps=8)
    values = torch.linalg.svdvals(moved.flatten(1) / 0.1)
    assert ((values > 0.6) & (values < 1.3)).all()
    # and downhill
    assert (moved * gradient).sum() < 0


def test_a_filter_with_more_rows_than_columns_moves_further():
    gradient = torch.randn(8, 2, 1, 1, generator=torch.Generator().manual_seed(0))
    moved = stepped(nn.Parameter(torch.zeros(8, 2, 1, 1)), [gradient], newton_schulz_steps=8)
    values = torch.linalg.svdvals(moved.flatten(1) / 0.1) / 2  # sqrt(8 / 2)
    assert ((values > 0.6) & (values < 1.3)).all()


def test_weight_decay_shrinks_by_lr_times_decay():
    weight = nn.Parameter(torch.tensor([[4.0]]))
    assert_close(stepped(weight, [torch.zeros(1, 1)], weight_decay=0.5), torch.tensor([[4 * (1 - 0.2 * 0.5)]]))


def test_a_parameter_without_gradient_stays():
    weight = nn.Parameter(torch.ones(2, 2))
    Muon([weight], 0.1, **CHOICES).step()
    assert weight.tolist() == [[1, 1], [1, 1]]


def test_a_momentum_of_one_is_refused():
    with pytest.raises(ValueError, match=r"0 <= momentum < 1.*momentum=1"):
        Muon([nn.Parameter(torch.ones(1))], 0.1, **{**CHOICES, "momentum": 1})


def test_biases_may_have_a_rate_of_their_own():
    bias, weight = nn.Parameter(torch.tensor([1.0])), nn.Parameter(torch.tensor([[1.0]]))
    moved = [stepped(parameter, [torch.ones_like(parameter)], bias_ratio=5.0) for parameter in (bias, weight)]
    # lr 0.1 times 5, and times sgd_ratio, of an update of 1.5
    assert_close(moved[0], torch.tensor([1 - 0.5 * 1.5]))
    assert_close(moved[1], torch.tensor([[1 - 0.2 * 1.5]]))


def test_filters_are_brought_to_their_norm_before_each_step():
    filters = nn.Parameter(torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(0)) * 7)
    before = filters.detach().clone()
    moved = stepped(filters, [torch.zeros(4, 2, 3, 3)], renormalise=True)
    assert_close(moved, before * 2 / before.norm())  # the square root of 4 channels


def test_other_weights_keep_theirs():
    weight = nn.Parameter(torch.full((2, 3), 7.0))
    assert_close(stepped(weight, [torch.zeros(2, 3)], renormalise=True), torch.full((2, 3), 7.0))
