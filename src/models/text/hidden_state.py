"""The hidden state of a recurrent net: nested tuples of tensors (..., tracks, size), or None at the start."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def mapped(function: Callable[[Tensor], Tensor], state: Any) -> Any:
    """Apply a function to each tensor of a state; (nested) tuples become plain tuples."""
    if isinstance(state, Tensor):
        return function(state)
    return tuple(mapped(function, part) for part in state) if isinstance(state, tuple | list) else state


def dealt(states: list[Any], rank: int, world_size: int) -> Any:
    """The state of a rank's tracks, from those of all ranks, of which there may have been another number."""
    if len(states) == world_size or states[0] is None:
        return states[rank % len(states)]
    if isinstance(states[0], Tensor):
        return torch.cat(states, -2).tensor_split(world_size, -2)[rank]  # (..., tracks, size)
    return tuple(dealt(list(parts), rank, world_size) for parts in zip(*states, strict=True))
