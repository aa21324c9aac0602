"""Weights of the classes in a training's loss."""

from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor

ClassWeights: TypeAlias = list[float] | Literal["balanced"] | None


def check_class_weights(weights: ClassWeights) -> None:
    """Raise ValueError unless these are None, "balanced" or positive numbers."""
    if weights is None or weights == "balanced":
        return
    if isinstance(weights, str) or not all(weight > 0 for weight in weights):
        raise ValueError(f"model.class_weights must be null, balanced or positive, one for each class, got {weights}")


def class_weights_of(weights: ClassWeights, spec: dict[str, Any]) -> Tensor | None:
    """Return a weight for each class of the data, float32 (classes,).

    Args:
        weights: in the order of class_names; "balanced": the mean number of training rows of a class, divided by that
            of the class; None weighs all alike.
        spec: `class_names`, and for "balanced" `class_counts`.

    Raises:
        ValueError: their number is not that of the classes, or there are no classes.
    """
    if weights is None:
        return None
    names = spec["class_names"]
    if spec.get("task") in ("regression", "multilabel") or not names:
        raise ValueError(f"model.class_weights is for one class a row, got {weights} with task={spec['task']}")
    if isinstance(weights, str):
        counts = torch.tensor(spec["class_counts"], dtype=torch.float64)
        return (counts.mean() / counts.clamp(min=1)).float()
    if len(weights) != len(names):
        raise ValueError(f"model.class_weights must have one number for each of {names}, got {weights}")
    return torch.tensor(weights, dtype=torch.float32)
