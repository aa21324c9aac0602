"""Long lists of numbers in a checkpoint: as tensors, because pickle takes a microsecond for each number of a list.

The quantiles of 1,700 columns took two seconds in each checkpoint, and the checkpoints most of the training.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

SHORTEST = 100  # numbers of a list that is worth it
KEY = "list_of_floats"


def pack(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Return the checkpoint with tensors for the long lists of floats in its hyper_parameters."""
    return _changed(checkpoint, _packed)


def unpack(checkpoint: Any) -> Any:
    """Return the checkpoint with its lists again; what is not packed stays as it is."""
    return _changed(checkpoint, _unpacked)


def _changed(checkpoint: Any, change: Callable[[Any], Any]) -> Any:
    if not isinstance(checkpoint, dict) or "hyper_parameters" not in checkpoint:
        return checkpoint
    return {**checkpoint, "hyper_parameters": change(checkpoint["hyper_parameters"])}


def _packed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _packed(each) for key, each in value.items()}
    if not isinstance(value, list):
        return value
    if len(value) >= SHORTEST and all(type(each) is float for each in value):
        return {KEY: torch.tensor(value, dtype=torch.float64)}
    return [_packed(each) for each in value]


def _unpacked(value: Any) -> Any:
    if isinstance(value, dict):
        numbers = value.get(KEY)
        if isinstance(numbers, Tensor):
            return numbers.tolist()
        return {key: _unpacked(each) for key, each in value.items()}
    return [_unpacked(each) for each in value] if isinstance(value, list) else value
