"""What recurrent layers share: the check of their state, and windows in which documents begin."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor


def checked_state(
    features: Tensor, state: tuple[Tensor, ...] | None, input_size: int, sizes: list[int], *leading: int
) -> tuple[Tensor, ...]:
    """Return the state, or zeros if None; its parts are (*leading, batch, size). ValueError if it does not fit."""
    if features.ndim != 3 or features.shape[2] != input_size:
        raise ValueError(f"features must be (time, batch, {input_size}), got {tuple(features.shape)}")
    shapes = [(*leading, features.shape[1], size) for size in sizes]
    if state is None:
        return tuple(features.new_zeros(shape) for shape in shapes)
    if [part.shape for part in state] != shapes:
        raise ValueError(
            f"the state of this batch must be of {shapes}, got {[tuple(part.shape) for part in state]}; "
            "start another batch size with None"
        )
    return state


def run_segments(
    run: Callable[[Tensor, Any], tuple[Tensor, Any]], features: Tensor, state: tuple[Tensor, ...], starts: Tensor | None
) -> tuple[Tensor, Any]:
    """Return what `run(features, state)` does, with the state set to zero where a document begins.

    Fused kernels cannot reset the state inside a window.

    Args:
        run: Called once for each stretch of the window in which a document begins at the first step only.
        features: (time, batch, size).
        state: Parts of (..., batch, size).
        starts: bool (time, batch): the steps before which the state of a track is zero; None is nowhere.
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
