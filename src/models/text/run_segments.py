"""Runs a layer through windows in which documents begin: fused kernels have no resets inside a window."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor


def run_segments(
    run: Callable[[Tensor, Any], tuple[Tensor, Any]], features: Tensor, state: tuple[Tensor, ...], starts: Tensor | None
) -> tuple[Tensor, Any]:
    """What `run(features, state)` returns, with a track's state zero before each step that begins a document there.

    features: (time, batch, size).  state: parts (..., batch, size).  starts: (time, batch), bool; None: nowhere.
    One call of `run` for each stretch of the window in which no document begins but at its first step.
    """
    if starts is None or not starts.any():
        return run(features, state)
    times = sorted({0, *starts.any(1).nonzero().flatten().tolist()})
    lengths = [stop - start for start, stop in pairwise([*times, len(features)])]
    outputs = []
    for part, begins in zip(features.split(lengths), starts[times], strict=True):
        zeroed = begins.to(features.device)[:, None]
        output, state = run(part, tuple(tensor.masked_fill(zeroed, 0) for tensor in state))
        outputs.append(output)
    return torch.cat(outputs), state
