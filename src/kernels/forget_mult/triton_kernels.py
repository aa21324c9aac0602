"""The scan of `forget_mult` and its gradients as Triton kernels; imported only if triton is installed.

A column is one hidden unit of one row of the batch. Each program owns a block of columns and goes through time: the
state stays in registers, and neighbouring threads read neighbouring numbers. Not yet measured on a GPU.
"""

from typing import Any

import torch
import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]
from torch import Tensor

NUM_WARPS = 2
NUM_STAGES = 4  # time steps loaded from memory at once


@triton.jit
def _scan_kernel(
    f_at: tl.tensor,
    x_at: tl.tensor,
    states_at: tl.tensor,
    time: tl.tensor,
    columns: tl.tensor,
    BLEND: tl.constexpr,
    WIDE: tl.constexpr,
    STAGES: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    column = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = column < columns
    f_at, x_at, states_at = f_at + column, x_at + column, states_at + column
    state = tl.load(states_at, mask=inside, other=0.0).to(WIDE)
    for _ in tl.range(0, time, num_stages=STAGES):  # pyright: ignore[reportGeneralTypeIssues]
        f = tl.load(f_at, mask=inside, other=0.0).to(WIDE)
        x = tl.load(x_at, mask=inside, other=0.0).to(WIDE)
        if BLEND:
            x *= f
        state = x + (1 - f) * state
        f_at, x_at, states_at = f_at + columns, x_at + columns, states_at + columns
        tl.store(states_at, state, mask=inside)


@triton.jit
def _gradients_kernel(
    grad_at: tl.tensor,
    f_at: tl.tensor,
    x_at: tl.tensor,
    states_at: tl.tensor,
    grad_f_at: tl.tensor,
    grad_x_at: tl.tensor,
    grad_h0_at: tl.tensor,
    time: tl.tensor,
    columns: tl.tensor,
    last: tl.tensor,
    BLEND: tl.constexpr,
    WIDE: tl.constexpr,
    STAGES: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    column = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = column < columns
    running = tl.zeros((BLOCK,), WIDE)  # gradient of the state, from all later steps
    at = column + last
    for _ in tl.range(0, time, num_stages=STAGES):  # pyright: ignore[reportGeneralTypeIssues]
        f = tl.load(f_at + at, mask=inside, other=0.0).to(WIDE)
        before = tl.load(states_at + at, mask=inside, other=0.0).to(WIDE)
        running += tl.load(grad_at + at, mask=inside, other=0.0).to(WIDE)
        if BLEND:
            x = tl.load(x_at + at, mask=inside, other=0.0).to(WIDE)
            grad_f, grad_x = (x - before) * running, f * running
        else:
            grad_f, grad_x = -before * running, running
        tl.store(grad_f_at + at, grad_f, mask=inside)
        tl.store(grad_x_at + at, grad_x, mask=inside)
        running -= f * running
        at -= columns
    tl.store(grad_h0_at + column, running, mask=inside)


def scan(f: Tensor, x: Tensor, h0: Tensor, *, blend: bool) -> Tensor:
    """See cpu.scan."""
    states = x.new_empty(len(x) + 1, *x.shape[1:])
    states[0] = h0
    _launch(_scan_kernel, f, x, states, len(f), f[0].numel(), blend=blend)
    return states


def gradients(grad: Tensor, f: Tensor, x: Tensor, states: Tensor, *, blend: bool) -> tuple[Tensor, Tensor, Tensor]:
    """See cpu.gradients."""
    wide = torch.promote_types(f.dtype, torch.float32)
    results = torch.empty_like(f), torch.empty_like(x), torch.empty_like(f[0], dtype=wide)
    columns = f[0].numel()
    last = (len(f) - 1) * columns  # where the last time step begins
    _launch(_gradients_kernel, grad, f, x, states, *results, len(f), columns, last, blend=blend)
    return results


def _launch(kernel: Any, first: Tensor, *arguments: Any, blend: bool) -> None:
    """Run a kernel on all columns, on the device of its first tensor."""
    # Each thread moves at least 4 bytes at once, the minimum for copies in the background.
    block = 32 * NUM_WARPS * (2 if first.element_size() == 2 else 1)
    wide = tl.float64 if first.dtype == torch.float64 else tl.float32
    choices = {"BLEND": blend, "WIDE": wide, "STAGES": NUM_STAGES, "BLOCK": block, "num_warps": NUM_WARPS}
    with torch.cuda.device_of(first):
        kernel[(triton.cdiv(first[0].numel(), block),)](first, *arguments, **choices)
