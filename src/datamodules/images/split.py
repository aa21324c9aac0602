"""A split of an image set, the choice of its rows, and what is counted over them."""

import difflib

import numpy as np
import torch
from torch import Tensor


class Images:
    """Those rows of a set of pictures that make up one split; the splits of a set share its tensors, uncopied.

    images: uint8 (all rows, height, width, channels), in memory or a memory map.  labels: int64 (all rows,).
    rows: int64 (rows of the split,), all of them if None.
    """

    def __init__(self, images: Tensor, labels: Tensor, rows: Tensor | None = None) -> None:
        self.images = images
        self.labels = labels
        self.rows = torch.arange(len(labels)) if rows is None else rows

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def own_labels(self) -> Tensor:
        """The labels of the split's rows."""
        return self.labels[self.rows]

    def take(self, positions: np.ndarray) -> "Images":
        """The split made of this one's rows at the given positions."""
        return Images(self.images, self.labels, self.rows[torch.from_numpy(positions)])

    def to(self, device: torch.device) -> "Images":
        """The split alone, copied to a device."""
        return Images(self.images[self.rows].to(device), self.own_labels.to(device))


def stratified_split(labels: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to keep and rows to hold out, both sorted, the same for the same seed.

    Of each class the nearest whole number to `fraction` of its rows is held out, but one at least and never all.
    Raises ValueError if a class has fewer than two rows.
    """
    keep, hold = [], []
    for rows in _shuffled_by_class(labels, seed):
        if len(rows) < 2:
            raise ValueError(f"a stratified split needs 2 rows of each class, got one of class {labels[rows[0]]}")
        held_out = min(max(round(len(rows) * fraction), 1), len(rows) - 1)
        hold.append(rows[:held_out])
        keep.append(rows[held_out:])
    return np.sort(np.concatenate(keep)), np.sort(np.concatenate(hold))


def _shuffled_by_class(labels: np.ndarray, seed: int) -> list[np.ndarray]:
    """The rows of each class in random order."""
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    _, starts = np.unique(labels[order], return_index=True)
    return np.split(order, starts[1:])


def class_numbers(classes: list[str], class_names: list[str]) -> list[int]:
    """The places of some classes among all; ValueError if one is unknown, named twice or alone."""
    for name in classes:
        if name not in class_names:
            near = difflib.get_close_matches(name, class_names, n=1)
            way_out = f"did you mean {near[0]}?" if near else f"there are {', '.join(class_names)}"
            raise ValueError(f"datamodule.classes: there is no class {name}; {way_out}")
    if len(set(classes)) < max(len(classes), 2):
        raise ValueError(f"datamodule.classes must name two classes or more, each once, got {classes}")
    return [class_names.index(name) for name in classes]


def keep_classes(split: Images, classes: list[str], class_names: list[str]) -> Images:
    """The rows of the given classes, labelled by their place in `classes`."""
    renumbered = torch.full((len(class_names),), -1)
    renumbered[class_numbers(classes, class_names)] = torch.arange(len(classes))
    labels = renumbered[split.labels]
    return Images(split.images, labels, split.rows[labels[split.rows] >= 0])


def draw_per_class(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Positions of `count` rows of each class, sorted, the same for the same seed.

    A larger count, with the same seed, keeps the rows of a smaller one. Raises ValueError if a class has fewer rows.
    """
    by_class = _shuffled_by_class(labels, seed)
    if min(map(len, by_class)) < count:
        raise ValueError(
            f"datamodule.train_per_class must be at most {min(map(len, by_class))}, the training rows of the smallest "
            f"class once the validation rows are taken, got {count}"
        )
    return np.sort(np.concatenate([rows[:count] for rows in by_class]))


def channel_statistics(split: Images, max_rows: int = 5000, max_pixels: int = 2**25) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel on the scale [0, 1], over evenly spaced rows.

    Few rows of large pictures (668 of 224x224) are as good: their pixels are many. A channel without variation gets
    the deviation 1.
    """
    _, height, width, channels = split.images.shape
    step = -(-len(split) // min(max_rows, max(1, max_pixels // (height * width))))
    total, squares = torch.zeros(2, channels, dtype=torch.float64)
    num_pixels = 0
    # Sums of bytes are exact in float64; in chunks, for the pictures may be a memory map larger than memory.
    for rows in split.rows[::step].split(32):
        pixels = split.images[rows].flatten(0, 2).double()
        total += pixels.sum(0)
        squares += pixels.square_().sum(0)
        num_pixels += len(pixels)
    mean = total / num_pixels
    std = (squares / num_pixels - mean**2).clamp(min=0).sqrt()
    std = torch.where(std > 0, std, torch.full_like(std, 255))
    return [round(m, 6) for m in (mean / 255).tolist()], [round(s, 6) for s in (std / 255).tolist()]
