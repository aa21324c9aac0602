import sys
from types import SimpleNamespace

import pytest
import torch
from torch.testing import assert_close

from src.kernels.forget_mult import cpu, forget_mult
from src.kernels.forget_mult.naive import forget_mult as naive

SHAPES = [(1, 2, 3), (4, 1, 1), (3, 2, 5), (9, 3, 67)]


def inputs(time=3, batch=2, hidden=5, dtype=torch.float64, device="cpu"):
    """f, z, h0 and i that ask for gradients, of h0's own values and of gates within (0, 1)."""
    generator = torch.Generator().manual_seed(time)
    f, i = torch.rand(2, time, batch, hidden, generator=generator, dtype=torch.float64)
    z = torch.randn(time, batch, hidden, generator=generator, dtype=torch.float64)
    h0 = torch.randn(batch, hidden, generator=generator, dtype=torch.float64)
    return [tensor.to(device, dtype).requires_grad_() for tensor in (f, z, h0, i)]


def gradients(function, f, z, h0, i):
    """All h_t and the gradients of f, z, h0 and, if given, i, for a fixed gradient of each h_t."""
    h = function(f, z, h0, i=i)
    weights = torch.linspace(-1, 1, h.numel(), dtype=torch.float64).view(h.shape).to(h)
    return [h, *torch.autograd.grad(h, [tensor for tensor in (f, z, h0, i) if tensor is not None], across(weights))]


def across(tensor):
    """The same numbers, lying column by column in memory."""
    return tensor.detach().mT.contiguous().mT.requires_grad_(tensor.requires_grad)


def test_gate_blends_input_with_previous_state():
    f = torch.tensor([1.0, 0.5, 0.0]).view(3, 1, 1)
    z = torch.tensor([4.0, 2.0, 9.0]).view(3, 1, 1)
    assert forget_mult(f, z).flatten().tolist() == [4.0, 3.0, 3.0]  # 4; (2 + 4) / 2; shut


def test_the_state_before_fades_by_hand():
    f, z = torch.full((2, 1, 1), 0.25), torch.zeros(2, 1, 1)
    assert forget_mult(f, z, torch.tensor([[16.0]])).flatten().tolist() == [12.0, 9.0]  # three quarters each time


def test_an_input_gate_weighs_the_input_alone():
    f, z, i = (torch.tensor(values).view(2, 1, 1) for values in ([0.5, 0.5], [4.0, 2.0], [1.0, 0.25]))
    assert forget_mult(f, z, i=i).flatten().tolist() == [4.0, 2.5]  # 4; 2 / 4 + 4 / 2


def test_gradients_by_hand():
    f = torch.tensor([0.5, 0.25]).view(2, 1, 1).requires_grad_()
    z = torch.tensor([4.0, 6.0]).view(2, 1, 1).requires_grad_()
    h0 = torch.tensor([[8.0]], requires_grad=True)
    forget_mult(f, z, h0)[-1].sum().backward()
    # h_1 = 6 and h_2 = 6: so f_2 changes nothing, and f_1 moves h_1 by 4 - 8, of which 3/4 are left.
    assert f.grad.flatten().tolist() == [-3.0, 0.0]
    assert z.grad.flatten().tolist() == [0.375, 0.25]
    assert h0.grad.item() == 0.375


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("pooling", ["f", "ifo"])
def test_values_and_gradients_equal_the_reference(shape, pooling):
    f, z, h0, i = inputs(*shape)
    i = i if pooling == "ifo" else None
    assert_close(gradients(forget_mult, f, z, h0, i), gradients(naive, f, z, h0, i))


def test_random_shapes_equal_the_reference():
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        f, z, h0, i = inputs(*(int(torch.randint(1, most, (), generator=generator)) for most in (40, 6, 90)))
        assert_close(gradients(forget_mult, f, z, h0, i), gradients(naive, f, z, h0, i))
        assert_close(gradients(forget_mult, f, z, h0, None), gradients(naive, f, z, h0, None))


@pytest.mark.parametrize("pooling", ["f", "ifo"])
def test_gradients_are_those_of_finite_differences(pooling):
    f, z, h0, i = inputs()
    if pooling == "f":
        assert torch.autograd.gradcheck(forget_mult, (f, z, h0))
    else:
        assert torch.autograd.gradcheck(lambda f, z, h0, i: forget_mult(f, z, h0, i=i), (f, z, h0, i))


def test_without_a_state_it_starts_from_zero():
    f, z, h0, _ = inputs()
    assert_close(forget_mult(f, z), forget_mult(f, z, torch.zeros_like(h0)))


@pytest.mark.parametrize("first", [1, 4, 6])
def test_state_carries_across_a_split(first):
    f, z, h0, _ = inputs(time=7)
    before = forget_mult(f[:first], z[:first], h0)
    split = torch.cat([before, forget_mult(f[first:], z[first:], before[-1])])
    whole = forget_mult(f, z, h0)
    assert_close(split, whole)
    assert_close(torch.autograd.grad(split.sum(), [f, z, h0]), torch.autograd.grad(whole.sum(), [f, z, h0]))


def test_tensors_that_lie_across_memory_pass():
    f, z, h0, _ = inputs(time=3, batch=2, hidden=5)
    straight = gradients(forget_mult, f, z, h0, None)
    lying = [across(tensor) for tensor in (f, z, h0)]
    assert not any(tensor.is_contiguous() for tensor in lying)
    assert_close(gradients(forget_mult, *lying, None), straight)


def test_expanded_tensors_get_the_sum_of_their_gradients():
    f, z, h0, _ = inputs(time=4)
    f, h0 = f.detach()[:1].requires_grad_(), h0.detach()[:1].requires_grad_()
    for function in (forget_mult, naive):
        function(f.expand(4, 2, 5), z, h0.expand(2, 5)).sum().backward()
    wanted = torch.autograd.grad(naive(f.expand(4, 2, 5), z, h0.expand(2, 5)).sum(), [f, z, h0])
    assert_close([f.grad, z.grad, h0.grad], [2 * gradient for gradient in wanted])


def test_what_needs_no_gradient_gets_none():
    f, z, _, _ = inputs()
    forget_mult(f.detach(), z).sum().backward()
    assert f.grad is None
    assert z.grad is not None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("pooling", ["f", "ifo"])
def test_16_bits_are_blended_and_summed_in_32(dtype, pooling):
    # 512 tiny steps: in 16 bits each would be lost in rounding.
    f = torch.full((512, 1, 3), 2.0**-10, dtype=dtype).requires_grad_()
    z = torch.ones_like(f).requires_grad_()
    h0 = torch.zeros(1, 3, dtype=dtype, requires_grad=True)
    i = f if pooling == "ifo" else None
    h = forget_mult(f, z, h0, i=i)
    assert h.dtype == dtype
    assert h[-1, 0, 0].item() == pytest.approx(1 - (1 - 2.0**-10) ** 512, rel=0.01)
    h[-1].sum().backward()
    assert h0.grad[0, 0].item() == pytest.approx((1 - 2.0**-10) ** 512, rel=0.01)
    assert z.grad[0, 0, 0].item() == pytest.approx(2.0**-10 * (1 - 2.0**-10) ** 511, rel=0.01)


def test_a_state_of_another_dtype_is_taken_and_gets_its_gradient():
    f, z, h0, _ = inputs(dtype=torch.bfloat16)
    h0 = h0.detach().float().requires_grad_()
    h = forget_mult(f, z, h0)
    h.sum().backward()
    assert (h.dtype, h0.grad.dtype) == (torch.bfloat16, torch.float32)


def test_a_gpu_without_triton_takes_the_loop(monkeypatch):
    module = sys.modules["src.kernels.forget_mult"]
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert module._path(SimpleNamespace(is_cuda=True)) is cpu


def test_the_gradient_has_no_gradient():
    f, z, _, _ = inputs()
    (grad,) = torch.autograd.grad(forget_mult(f, z).square().sum(), f, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


@pytest.mark.parametrize(
    ("f", "z", "choices", "message"),
    [
        ((3, 2, 5), (3, 2, 4), {}, r"f, z must have one shape .* f \(3, 2, 5\) of torch.float32, z \(3, 2, 4\)"),
        ((3, 2, 5), (3, 2, 5), {"i": (3, 2, 1)}, r"f, z, i must have one shape"),
        ((3, 5), (3, 5), {}, r"\(time, batch, hidden\) .* got \(3, 5\)"),
        ((0, 2, 5), (0, 2, 5), {}, r"one time step or more, got \(0, 2, 5\)"),
        ((3, 2, 5), (3, 2, 5), {"h0": (5, 2)}, r"h0 must be \(batch, hidden\) = \(2, 5\) .* got \(5, 2\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(f, z, choices, message):
    with pytest.raises(ValueError, match=message):
        forget_mult(torch.ones(f), torch.ones(z), **{name: torch.ones(shape) for name, shape in choices.items()})


def test_dtypes_that_do_not_fit_are_refused():
    ones = torch.ones(3, 2, 5)
    with pytest.raises(ValueError, match=r"one dtype, got f .* of torch.float32, z .* of torch.bfloat16"):
        forget_mult(ones, ones.bfloat16())
    with pytest.raises(ValueError, match=r"floating-point dtype, got torch.int64"):
        forget_mult(ones.long(), ones.long())
