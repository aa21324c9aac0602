"""The recurrence of a QRNN: the public function and its gradient; `naive` specifies it, other modules are fast."""

from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from src.kernels.forget_mult import cpu


def forget_mult(f: Tensor, z: Tensor, h0: Tensor | None = None, *, i: Tensor | None = None) -> Tensor:
    """Blend each input into a running state: h_t = f_t * z_t + (1 - f_t) * h_{t-1}.

    All inputs get gradients, which cannot be differentiated again. Sums are in 32 bits or more.
    Source: Bradbury et al. 2017, arXiv:1611.01576, section 2.1 (f-pooling, f and 1 - f swapped).

    Args:
        f: (time, batch, hidden), within [0, 1].
        z: (time, batch, hidden).
        h0: (batch, hidden); None is zeros.
        i: Like z; weighs it instead of f (ifo-pooling): h_t = i_t * z_t + (1 - f_t) * h_{t-1}.

    Returns:
        Every h_t, (time, batch, hidden), in f's dtype.

    Raises:
        ValueError: Shapes or dtypes do not fit, or there is no time step.
    """
    _check(f, z, h0, i)
    h0 = f.new_zeros(f.shape[1:]) if h0 is None else h0
    inputs = z if i is None else i * z
    return _ForgetMult.apply(f, inputs, h0, i is None)  # pyright: ignore[reportReturnType]


def _check(f: Tensor, z: Tensor, h0: Tensor | None, i: Tensor | None) -> None:
    named = {"f": f, "z": z} | ({} if i is None else {"i": i})
    if len({(tensor.shape, tensor.dtype) for tensor in named.values()}) != 1:
        given = ", ".join(f"{name} {tuple(tensor.shape)} of {tensor.dtype}" for name, tensor in named.items())
        raise ValueError(f"{', '.join(named)} must have one shape and one dtype, got {given}")
    if f.ndim != 3 or not len(f):
        raise ValueError(f"f must be (time, batch, hidden) with one time step or more, got {tuple(f.shape)}")
    if not f.is_floating_point():
        raise ValueError(f"f must be of a floating-point dtype, got {f.dtype}")
    if h0 is not None and h0.shape != f.shape[1:]:
        raise ValueError(f"h0 must be (batch, hidden) = {tuple(f.shape[1:])} like f's steps, got {tuple(h0.shape)}")


class _ForgetMult(torch.autograd.Function):
    """h_t = w_t * x_t + (1 - f_t) * h_{t-1}, where w is f if `blend`, else 1."""

    @staticmethod
    def forward(ctx: Any, f: Tensor, x: Tensor, h0: Tensor, blend: bool) -> Tensor:
        f, x = f.contiguous(), x.contiguous()
        states = _path(f).scan(f, x, h0, blend=blend)
        ctx.save_for_backward(f, x, states)
        ctx.blend = blend
        ctx.h0_dtype = h0.dtype
        return states[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        f, x, states = ctx.saved_tensors
        grad_f, grad_x, grad_h0 = _path(f).gradients(grad.contiguous(), f, x, states, blend=ctx.blend)
        return grad_f, grad_x, grad_h0.to(ctx.h0_dtype), None


def _path(f: Tensor) -> ModuleType:
    """Return the module with the fastest `scan` and `gradients` on f's device; without triton a loop over time."""
    if f.is_cuda and find_spec("triton"):
        from src.kernels.forget_mult import triton_kernels

        return triton_kernels
    return cpu
