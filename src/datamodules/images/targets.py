"""What an image set with several labels an image, or with numbers, tells about them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from src.core.errors import named
from src.core.output import note
from src.datamodules.images.split import ImageSplit, Task


def check_y_range(y_range: Sequence[float] | None, task: Task) -> None:
    """Raise ValueError unless y_range is None or, for regression, a lowest and a highest number."""
    if y_range is not None and (task != "regression" or len(y_range) != 2 or not y_range[0] < y_range[1]):
        raise ValueError(
            f"datamodule.y_range must be [lowest, highest], and is for task=regression, got {list(y_range)}, {task=}"
        )


def balanced_groups(labels: Tensor, task: Task) -> np.ndarray:
    """Return a group for each row; the held-out rows are taken from each group alike.

    Classes are the groups. An image of several labels counts for its rarest one; a group of a single image joins the
    largest. Images with numbers are one group.

    Args:
        labels: of all rows, see ImageSplit.
        task: what they are for.
    """
    if task == "classification":
        return labels.numpy()
    if task == "regression":
        return np.zeros(len(labels), np.int64)
    rarity = torch.where(labels > 0, labels.sum(0), torch.inf)
    groups = torch.where(labels.any(1), rarity.argmin(1), labels.shape[1]).numpy()
    sizes = np.bincount(groups)
    groups[sizes[groups] < 2] = sizes.argmax()
    return groups


def tell_absent(splits: dict[str, ImageSplit], names: list[str]) -> None:
    """Say which labels no image of a split has. Raises ValueError if none has any."""
    for split, consequence in {
        "train": "cannot be learned",
        "valid": "are not in its scores, and keep the threshold 0.5",
        "test": "are not in its scores",
    }.items():
        if split not in splits:
            continue
        counts = splits[split].own_labels.sum(0).tolist()
        absent = [name for name, count in zip(names, counts, strict=True) if not count]
        if len(absent) == len(names):
            raise ValueError(
                f"no image of {split} has any of the labels {named(names)}: look at the labels, or hold out others"
            )
        if absent:
            rank_zero_only(note)(f"labels that no image of {split} has {consequence}: {named(absent)}")


def target_statistics(labels: Tensor, names: list[str], y_range: Sequence[float] | None) -> dict[str, Any]:
    """Return what the spec says of numbers: `target_mean` and `target_std`, and `y_range` if there is one.

    Args:
        labels: of the training rows, (rows, targets).
        names: of the targets.
        y_range: the lowest and the highest value.

    Raises:
        ValueError: a target is the same in all rows, or outside y_range.
    """
    values = labels.double()
    low, high = values.amin(0), values.amax(0)
    for name, lowest, highest in zip(names, low.tolist(), high.tolist(), strict=True):
        if lowest == highest:
            raise ValueError(f"the target {name} is {lowest:g} in all training images: there is nothing to learn")
        if y_range is not None and not y_range[0] <= lowest <= highest <= y_range[1]:
            raise ValueError(
                f"datamodule.y_range must hold all targets, got {list(y_range)}, and {name} is from {lowest:g} to "
                f"{highest:g}"
            )
    spec: dict[str, Any] = {"target_mean": values.mean(0).tolist(), "target_std": values.std(0, correction=0).tolist()}
    return spec if y_range is None else {**spec, "y_range": [float(end) for end in y_range]}
