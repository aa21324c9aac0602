"""Long lists of numbers in a checkpoint: as tensors, because pickle takes a microsecond for each number of a list.

The quantiles of 1,700 columns took two seconds in each checkpoint, and the checkpoints most of the training.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

SHORTEST = 100  # numbers of a list that is worth it
DEEPEST = 20  # levels that are looked into
KEY = "list_of_floats"


def pack(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Return the checkpoint with tensors for the long lists of floats in its hyper_parameters."""
    return _with_hyper_parameters(checkpoint, _packed)


def unpack(checkpoint: Any) -> Any:
    """Return the checkpoint with its lists again; what is not packed stays as it is."""
    return _with_hyper_parameters(checkpoint, _unpacked)


def _with_hyper_parameters(checkpoint: Any, change: Callable[[Any], Any]) -> Any:
    if not isinstance(checkpoint, dict) or "hyper_parameters" not in checkpoint:
        return checkpoint
    return {**checkpoint, "hyper_parameters": _changed(checkpoint["hyper_parameters"], change, {}, DEEPEST)}


def _changed(value: Any, change: Callable[[Any], Any], known: dict[int, Any], levels: int) -> Any:
    """Change the lists and dicts in a value. One that lies in several places, which is `known`, stays one object.

    A file from a stranger may name one list a billion times, or put a list within itself.
    """
    if not isinstance(value, dict | list) or not levels:
        return value
    if id(value) not in known:
        known[id(value)] = value
        found = change(value)
        if isinstance(found, dict):
            found = {key: _changed(each, change, known, levels - 1) for key, each in found.items()}
        elif isinstance(found, list) and found is value:
            found = [_changed(each, change, known, levels - 1) for each in found]
        known[id(value)] = found
    return known[id(value)]


def _packed(value: Any) -> Any:
    if isinstance(value, list) and len(value) >= SHORTEST and all(type(each) is float for each in value):
        return {KEY: torch.tensor(value, dtype=torch.float64)}
    return value


def _unpacked(value: Any) -> Any:
    numbers = value.get(KEY) if isinstance(value, dict) else None
    # An expanded tensor would be a longer list than the file can hold.
    return numbers.tolist() if isinstance(numbers, Tensor) and numbers.is_contiguous() else value
