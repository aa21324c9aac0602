"""A split of an image set, the choice of its rows, and the statistics of its channels."""

import unicodedata
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from src.core.errors import named, nearest
from src.datamodules.stratified import shuffle_by_class

Task = Literal["classification", "multilabel", "regression"]


class ImageSplit:
    """The rows of an image set that make up one split. The splits of a set share its tensors, without copies.

    Args:
        images: uint8 (all rows, height, width, channels), in memory or a memory map.
        labels: the class of each row, int64 (all rows,); for several labels a row, float32 (all rows, classes) of 0
            and 1; for numbers, float32 (all rows, targets).
        rows: int64 (rows of the split,); None means all.
    """

    def __init__(self, images: Tensor, labels: Tensor, rows: Tensor | None = None) -> None:
        self.images = images
        self.labels = labels
        self.rows = torch.arange(len(labels)) if rows is None else rows

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def tensors(self) -> tuple[Tensor, Tensor]:
        """The images and labels of the whole set, of which `rows` are this split's."""
        return self.images, self.labels

    @property
    def own_labels(self) -> Tensor:
        """The labels of the split's rows."""
        return self.labels[self.rows]

    def take(self, positions: np.ndarray) -> "ImageSplit":
        """Return the split made of this one's rows at the given positions."""
        return ImageSplit(self.images, self.labels, self.rows[torch.from_numpy(positions)])

    def to(self, device: torch.device) -> "ImageSplit":
        """Copy the rows of the split, and no others, to a device."""
        return ImageSplit(self.images[self.rows].to(device), self.own_labels.to(device))


def chosen_classes(classes: Sequence[Any], class_names: list[str]) -> list[str]:
    """Return the names of the chosen classes, which YAML may have read as other values: `yes` as true, `1e3` as 1000.0.

    Raises ValueError if a class is unknown or named twice, if there are fewer than two, or if a value may be several.
    """
    chosen = []
    for value in classes:
        if isinstance(value, str):
            chosen.append(unicodedata.normalize("NFC", value))
            continue
        meant = [name for name in class_names if _may_be(name, value)]
        if len(meant) != 1:
            may_be = f"may be {' or '.join(meant)}" if meant else "is no class"
            raise ValueError(
                f"datamodule.classes: {value}, as YAML reads it, {may_be}; there are {named(class_names)}: put the "
                "name in quotes"
            )
        chosen += meant
    class_numbers(chosen, class_names)
    return chosen


def _may_be(name: str, value: bool | float | None) -> bool:
    """Whether YAML reads a name without quotes as this value."""
    if value is None or isinstance(value, bool):
        return (
            name.lower() in {None: ("null", "~", ""), True: ("true", "yes", "on"), False: ("false", "no", "off")}[value]
        )
    readings: list[Callable[[str], float]] = [float, lambda text: int(text, 0), lambda text: int(text, 8)]
    for reading in readings:
        with suppress(ValueError):
            if reading(name) == value:
                return True
    return False


def class_numbers(classes: list[str], class_names: list[str]) -> list[int]:
    """Return the places of some classes among all.

    Raises ValueError if a class is unknown or named twice, or if there are fewer than two.
    """
    for name in classes:
        if name not in class_names:
            way_out = nearest(name, class_names) or f"; there are {named(class_names)}"
            raise ValueError(f"datamodule.classes: there is no class {name}{way_out}")
    if len(set(classes)) < max(len(classes), 2):
        raise ValueError(f"datamodule.classes must name two classes or more, each once, got {classes}")
    return [class_names.index(name) for name in classes]


def keep_classes(split: ImageSplit, classes: list[str], class_names: list[str]) -> ImageSplit:
    """Return the rows of the given classes, labelled by their place in `classes`."""
    renumbered = torch.full((len(class_names),), -1)
    renumbered[class_numbers(classes, class_names)] = torch.arange(len(classes))
    labels = renumbered[split.labels]
    return ImageSplit(split.images, labels, split.rows[labels[split.rows] >= 0])


def keep_columns(split: ImageSplit, classes: list[str], class_names: list[str]) -> ImageSplit:
    """Return all rows with the given labels or targets alone, in the order of `classes`."""
    return ImageSplit(split.images, split.labels[:, class_numbers(classes, class_names)], split.rows)


def check_labels(labels: Tensor, task: Task, num_classes: int, name: str) -> None:
    """Raise ValueError unless labels are what `ImageSplit` asks for.

    Args:
        labels: those of the rows of a split.
        task: what they are for.
        num_classes: how many classes or targets there are.
        name: of the split, for the message.
    """
    if task == "classification":
        low, high = (int(end) for end in labels.aminmax()) if len(labels) else (0, 0)
        if low < 0 or high >= num_classes:
            raise ValueError(
                f"labels must be from 0 to {num_classes - 1}, one for each class, got {low} to {high} in {name}"
            )
        return
    if labels.shape != (len(labels), num_classes) or labels.dtype != torch.float32:
        raise ValueError(
            f"labels for task={task} must be float32 (rows, {num_classes}), got {labels.dtype} {tuple(labels.shape)} "
            f"in {name}"
        )
    if task == "multilabel" and not ((labels == 0) | (labels == 1)).all():
        raise ValueError(f"labels for task=multilabel must be 0 or 1, got others in {name}")
    if not labels.isfinite().all():
        raise ValueError(f"labels for task=regression must be finite numbers, got others in {name}")


def draw_per_class(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return the positions of `count` rows of each class, sorted, the same for the same seed.

    A larger count, with the same seed, keeps the rows of a smaller one. Raises ValueError if a class has fewer rows.
    """
    by_class = shuffle_by_class(labels, seed)
    smallest = min(map(len, by_class))
    if smallest < count:
        raise ValueError(
            f"datamodule.train_per_class must be at most {smallest}, the training rows of the smallest class after the "
            f"validation rows are taken, got {count}"
        )
    return np.sort(np.concatenate([rows[:count] for rows in by_class]))


def channel_statistics(
    split: ImageSplit, max_rows: int = 5000, max_pixels: int = 2**25
) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation of each channel on the scale [0, 1], over evenly spaced rows.

    Few rows of large images (668 of 224x224) suffice: they have many pixels. A channel without variation gets the
    deviation 1.
    """
    _, height, width, channels = split.images.shape
    step = -(-len(split) // min(max_rows, max(1, max_pixels // (height * width))))
    total, squares = torch.zeros(2, channels, dtype=torch.float64)
    num_pixels = 0
    # Sums of bytes are exact in float64. In chunks, because the images may be a memory map larger than memory.
    for rows in split.rows[::step].split(32):
        pixels = split.images[rows].flatten(0, 2).double()
        total += pixels.sum(0)
        squares += pixels.square_().sum(0)
        num_pixels += len(pixels)
    mean = total / num_pixels
    std = (squares / num_pixels - mean**2).clamp(min=0).sqrt()
    std = torch.where(std > 0, std, torch.full_like(std, 255))
    return [round(m, 6) for m in (mean / 255).tolist()], [round(s, 6) for s in (std / 255).tolist()]
