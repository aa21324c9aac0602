"""The scan of `forget_mult` and its gradients as a loop over time, as fast as a CPU's memory.

Each step works on slices from `unbind` (indexing f[t] costs ten times as much) and writes into its part of the result.
The whole backward pass is one such loop; autograd would keep and read again a node for each step.
"""

import torch
from torch import Tensor


def scan(f: Tensor, x: Tensor, h0: Tensor, *, blend: bool) -> Tensor:
    """h_t = w_t * x_t + (1 - f_t) * h_{t-1}, where w is f if `blend`, else 1.

    Args:
        f, x: (time, batch, hidden), contiguous.
        h0: (batch, hidden).

    Returns:
        h0 and every h_t, in x's dtype: (time + 1, batch, hidden).
    """
    wide = torch.promote_types(f.dtype, torch.float32)
    states = x.new_empty(len(x) + 1, *x.shape[1:])
    states[0] = h0
    state = states[0].to(wide)
    scratch = None if x.dtype == wide else torch.empty_like(state)
    for f_t, x_t, state_t in zip(f.unbind(), x.unbind(), states[1:].unbind(), strict=True):
        out = state_t if scratch is None else scratch
        f_t, x_t = f_t.to(wide), x_t.to(wide)
        if blend:
            state = torch.lerp(state, x_t, f_t, out=out)
        else:
            state = torch.addcmul(state, f_t, state, value=-1, out=out).add_(x_t)
        if scratch is not None:
            state_t.copy_(state)
    return states


def gradients(grad: Tensor, f: Tensor, x: Tensor, states: Tensor, *, blend: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of f, x and h0 (in 32 bits or more), given those of every h_t and the states of `scan`."""
    wide = torch.promote_types(f.dtype, torch.float32)
    grad_f, grad_x = torch.empty_like(f), torch.empty_like(x)
    running = torch.zeros_like(f[0], dtype=wide)  # gradient of the state, from all later steps
    scratch = None if f.dtype == wide else (torch.empty_like(running), torch.empty_like(running))
    steps = zip(*(steps.unbind() for steps in (grad, f, x, states[:-1], grad_f, grad_x)), strict=True)
    for grad_t, f_t, x_t, before, grad_f_t, grad_x_t in reversed(list(steps)):
        out_f, out_x = scratch or (grad_f_t, grad_x_t)
        f_t, before = f_t.to(wide), before.to(wide)
        running += grad_t
        if blend:
            torch.sub(x_t, before, out=out_f).mul_(running)
            torch.mul(running, f_t, out=out_x)
            running -= out_x
        else:
            torch.mul(running, before, out=out_f).neg_()
            out_x.copy_(running)
            running.addcmul_(f_t, running, value=-1)
        if scratch:
            grad_f_t.copy_(out_f)
            grad_x_t.copy_(out_x)
    return grad_f, grad_x, running
