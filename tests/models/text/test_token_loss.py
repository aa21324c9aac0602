import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from src.models.text.token_loss import IGNORED, token_loss, token_losses


def inputs(dtype=torch.float64, time=5, batch=3, size=4, vocab_size=7, scale=1.0):
    generator = torch.Generator().manual_seed(0)
    shapes = (time, batch, size), (vocab_size, size), (vocab_size,)
    tensors = [(scale * torch.randn(shape, generator=generator)).to(dtype).requires_grad_() for shape in shapes]
    return *tensors, torch.randint(vocab_size, (time, batch), generator=generator)


def plain(features, weight, bias, targets):
    return F.cross_entropy(F.linear(features, weight, bias).flatten(0, -2), targets.flatten())


def fused(features, weight, bias, targets, chunk_size=4, dtype=None):
    return token_loss(features, targets, weight, bias, chunk_size=chunk_size, dtype=dtype)


def loss_and_gradients(function, *tensors, **choices):
    loss = function(*tensors, **choices)
    return loss, *torch.autograd.grad(loss, tensors[:3])


def relative_error(value, reference):
    return float((value.double() - reference.double()).norm() / reference.double().norm())


def test_a_row_worked_by_hand():
    features, weight = torch.ones(1, 1, 1, requires_grad=True), torch.tensor([[0.0], [3.0]]).log1p().requires_grad_()
    loss = token_loss(features, torch.tensor([[1]]), weight, chunk_size=1)
    loss.backward()
    assert_close(loss, torch.tensor(0.8).log().neg())  # logits 0 and log 4: probabilities 1/5 and 4/5
    assert_close(weight.grad, torch.tensor([[0.2], [-0.2]]))
    assert_close(features.grad.squeeze(), -0.2 * torch.tensor(4.0).log())


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)], ids=["float64", "float32"]
)
def test_it_is_the_plain_loss_with_its_gradients(dtype, tolerance):
    tensors = inputs(dtype)
    for value, reference in zip(loss_and_gradients(fused, *tensors), loss_and_gradients(plain, *tensors), strict=True):
        assert_close(value, reference, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("chunk_size", [1, 2, 7, 15, 1000])
def test_the_size_of_chunks_changes_nothing(chunk_size):
    tensors = inputs(torch.float32)
    whole = loss_and_gradients(fused, *tensors, chunk_size=15)
    for value, reference in zip(loss_and_gradients(fused, *tensors, chunk_size=chunk_size), whole, strict=True):
        assert_close(value, reference, rtol=1e-6, atol=1e-6)


def test_gradients_are_those_of_small_differences():
    features, weight, bias, targets = inputs()
    torch.autograd.gradcheck(lambda *tensors: fused(*tensors, targets), (features, weight, bias))


def test_bfloat16_keeps_the_gradients_to_a_hundredth():
    # Factors and logits are rounded to 8 binary digits, 1/512 of each at most, without a bias over many terms.
    tensors = inputs(torch.float32, time=40, batch=10, size=32, vocab_size=500, scale=0.5)
    reference = loss_and_gradients(plain, *tensors)
    rounded = loss_and_gradients(fused, *tensors, chunk_size=64, dtype=torch.bfloat16)
    assert [value.dtype for value in rounded] == [torch.float32] * 4
    assert rounded[0].item() == pytest.approx(reference[0].item(), rel=1e-3)
    for value, exact in zip(rounded[1:], reference[1:], strict=True):
        assert 1e-6 < relative_error(value, exact) < 0.01


def test_sums_over_many_chunks_of_bfloat16_are_not_rounded():
    # 4000 equal gradients: bfloat16 would stop to grow at 256 of them.
    features, weight = torch.ones(4000, 1), torch.zeros(2, 1, requires_grad=True)
    token_loss(features, torch.zeros(4000).long(), weight, chunk_size=1, dtype=torch.bfloat16).backward()
    assert_close(weight.grad, torch.tensor([[-0.5], [0.5]]))


def test_autocast_decides_where_nothing_is_chosen():
    tensors = inputs(torch.float32)
    exact = fused(*tensors)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        followed, chosen = fused(*tensors), fused(*tensors, dtype=torch.float32)
    assert torch.equal(followed, fused(*tensors, dtype=torch.bfloat16))
    assert not torch.equal(followed, exact)
    assert torch.equal(chosen, exact)


@pytest.mark.parametrize("scale", [1024.0, 1 / 3], ids=["a scaler's", "of accumulation"])
def test_gradients_are_scaled_by_what_comes_from_above(scale):
    tensors = inputs()
    gradients = loss_and_gradients(fused, *tensors)[1:]
    scaled = loss_and_gradients(lambda *tensors: fused(*tensors) * scale, *tensors)[1:]
    for value, reference in zip(scaled, gradients, strict=True):
        assert_close(value, reference * scale)


def test_a_tied_weight_gets_the_gradients_of_both_its_uses():
    _, weight, bias, targets = inputs()
    tokens = targets.flip(0)
    (tied,) = torch.autograd.grad(fused(F.embedding(tokens, weight).tanh(), weight, bias, targets), weight)
    (reference,) = torch.autograd.grad(plain(F.embedding(tokens, weight).tanh(), weight, bias, targets), weight)
    assert_close(tied, reference)


def test_what_is_frozen_gets_no_gradient():
    features, weight, bias, targets = inputs()
    fused(features, weight.detach(), None, targets).backward()
    assert_close(features.grad, torch.autograd.grad(plain(features, weight, None, targets), features)[0])
    assert bias.grad is None


def test_without_gradients_the_loss_is_the_same():
    tensors = inputs(torch.float32)
    with torch.no_grad():
        loss = fused(*tensors)
    assert not loss.requires_grad
    assert_close(loss, fused(*tensors), rtol=1e-6, atol=1e-6)


def test_ignored_targets_count_neither_in_the_loss_nor_in_the_gradients():
    *tensors, targets = inputs()
    targets[1:3, 1] = IGNORED
    for value, reference in zip(
        loss_and_gradients(fused, *tensors, targets), loss_and_gradients(plain, *tensors, targets), strict=True
    ):
        assert_close(value, reference)


def test_nothing_but_ignored_targets_is_a_loss_of_zero():
    *tensors, targets = inputs()
    loss, *gradients = loss_and_gradients(fused, *tensors, targets.fill_(IGNORED))
    assert loss == 0
    assert all(gradient.eq(0).all() for gradient in gradients)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_probability_too_small_to_hold_has_its_loss_still(dtype):
    features, weight = torch.tensor([[1.0], [1.0]]), torch.tensor([[0.0], [256.0]]).requires_grad_()
    assert token_loss(features, torch.tensor([0, 1]), weight, chunk_size=2, dtype=dtype).item() == 128  # (256 + 0) / 2


def test_a_net_that_has_diverged_shows():
    features, weight, bias, targets = inputs()
    assert fused(features * torch.nan, weight, bias, targets).isnan()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_each_token_has_its_loss(dtype):
    features, weight, bias, targets = inputs(torch.float32)
    targets[0, 0] = IGNORED
    losses = token_losses(features, targets, weight, bias, chunk_size=4, dtype=dtype)
    logits = F.linear(features.to(dtype), weight.to(dtype), bias.to(dtype)).float()
    assert losses.shape == targets.shape
    assert_close(losses, F.cross_entropy(logits.movedim(2, 1), targets, reduction="none"))


@pytest.mark.parametrize("function", [token_loss, token_losses])
def test_what_does_not_fit_together_is_an_error(function):
    features, weight, bias, targets = inputs()
    with pytest.raises(ValueError, match=r"got \(5, 3, 4\), \(3, 5\) and \(7, 4\)"):
        function(features, targets.t(), weight, bias, chunk_size=4)
    with pytest.raises(ValueError, match="chunk_size must be positive, got 0"):
        function(features, targets, weight, bias, chunk_size=0)
