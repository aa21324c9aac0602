"""The recurrence at the heart of a QRNN: one public function, its specification in plain torch, and its gradient."""

from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from src.kernels import forget_mult_cpu


def forget_mult(f: Tensor, z: Tensor, h0: Tensor | None = None, *, i: Tensor | None = None) -> Tensor:
    """Blend each input into a running state: h_t = f_t * z_t + (1 - f_t) * h_{t-1}.

    f, z: (time, batch, hidden), f within [0, 1].  h0: (batch, hidden), zeros if None.
    i: shaped like z, weighs it in place of f (ifo-pooling): h_t = i_t * z_t + (1 - f_t) * h_{t-1}.
    Returns every h_t: (time, batch, hidden), of f's dtype; 16-bit inputs are blended, and their gradients summed, in
    32 bits. All inputs get gradients, which cannot be differentiated again.
    Raises ValueError if f and z (and i) differ in shape or dtype, if there is no time step, or if h0 does not fit.
    Source: Bradbury et al. 2017, arXiv:1611.01576, section 2.1 (f-pooling, f and 1 - f swapped).
    """
    _check(f, z, h0, i)
    h0 = f.new_zeros(f.shape[1:]) if h0 is None else h0
    inputs = z if i is None else i * z
    return _ForgetMult.apply(f, inputs, h0, i is None)  # pyright: ignore[reportReturnType]


def forget_mult_reference(f: Tensor, z: Tensor, h0: Tensor | None = None, *, i: Tensor | None = None) -> Tensor:
    """What `forget_mult` computes, step by step: slow, differentiable by autograd."""
    _check(f, z, h0, i)
    dtype = torch.promote_types(f.dtype, torch.float32)
    h = torch.zeros_like(f[0], dtype=dtype) if h0 is None else h0.to(dtype)
    inputs = (f if i is None else i).to(dtype) * z.to(dtype)
    states = []
    for kept, x in zip(1 - f.to(dtype), inputs, strict=True):
        h = x + kept * h
        states.append(h)
    return torch.stack(states).to(f.dtype)


def _check(f: Tensor, z: Tensor, h0: Tensor | None, i: Tensor | None) -> None:
    named = {"f": f, "z": z} | ({} if i is None else {"i": i})
    if len({(tensor.shape, tensor.dtype) for tensor in named.values()}) != 1:
        came = ", ".join(f"{name} {tuple(tensor.shape)} of {tensor.dtype}" for name, tensor in named.items())
        raise ValueError(f"{', '.join(named)} must have one shape and one dtype, got {came}")
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
    """The module with the fastest `scan` and `gradients` where f lives; on a GPU without triton a loop over time."""
    if f.is_cuda and find_spec("triton"):
        from src.kernels import forget_mult_triton

        return forget_mult_triton
    return forget_mult_cpu
