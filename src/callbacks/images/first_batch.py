"""Draws the first training batch as the net sees it, which shows wrong labels, colours or augmentation."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from src.callbacks.figure import publish
from src.report.figures import new_figure

MAX_LINES = 3  # of a caption


class FirstBatch(Callback):
    """Writes the first rows x columns images of the first batch, after augmentation, with their labels.

    Batches are (images, labels): images (batch, 1 or 3 channels, height, width), uint8 or float within [0, 1]; labels
    (batch,) or, if mixed, shares (batch, classes); several labels an image, or numbers, as `spec["task"]` says. Names
    come from the datamodule's `spec`.
    """

    def __init__(self, *, path: str, rows: int, columns: int) -> None:
        if rows < 1 or columns < 1:
            raise ValueError(f"first_batch needs at least one row and one column, got {rows=}, {columns=}")
        self.path = Path(path)
        self.rows = rows
        self.columns = columns

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if trainer.global_step or batch_idx or not trainer.is_global_zero:
            return
        spec = trainer.datamodule.spec  # pyright: ignore[reportAttributeAccessIssue]
        text = {"multilabel": labels_text, "regression": numbers_text}.get(spec.get("task"), label_text)
        images, labels = (tensor[: self.rows * self.columns].cpu() for tensor in batch)
        captions = [text(label, spec["class_names"]) for label in labels]
        publish(draw_grid(as_bytes(images), captions, self.columns), self.path, trainer)


def draw_grid(images: np.ndarray, captions: list[str], columns: int) -> Figure:
    """Draw images, uint8 (images, height, width[, channels]), each below its caption, `columns` in a row."""
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    height = images.shape[1] / images.shape[2]
    # An image is 1 wide. One set of axes for all images: a set for each takes ten times as long.
    gap, caption = 0.06, 0.06 + 0.11 * (1 + max(text.count("\n") for text in captions))
    figure = new_figure(1.2 * columns, 1.2 * rows * (height + caption))
    axes = figure.add_axes((0, 0, 1, 1))
    for position, (image, text) in enumerate(zip(images, captions, strict=True)):
        row, left = divmod(position, columns)
        top = row * (height + caption) + caption
        extent = (left + gap / 2, left + 1 - gap / 2, top + height - gap, top)
        axes.imshow(image, extent=extent, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.text(left + 0.5, top - 0.03, text, ha="center", va="bottom", fontsize=8)
    axes.set(xlim=(0, columns), ylim=(rows * (height + caption), 0), aspect="auto")
    axes.set_axis_off()
    return figure


def as_bytes(images: Tensor) -> np.ndarray:
    """Turn images (batch, channels, height, width) into uint8 (batch, height, width[, channels])."""
    if images.dtype != torch.uint8:
        images = (images.float().clamp(0, 1) * 255).round().byte()
    return images.permute(0, 2, 3, 1).squeeze(3).numpy() if images.shape[1] == 1 else images.permute(0, 2, 3, 1).numpy()


def label_text(label: Tensor, names: list[str], longest: int = 14) -> str:
    """A class name; for a label of shares `cat 70%` above `dog 30%`."""
    if label.ndim == 0:
        return _shortened(names[int(label)], longest)
    shares, classes = label.float().topk(min(2, len(names)))
    parts = zip(shares.tolist(), classes.tolist(), strict=True)
    if float(shares[0]) > 0.995:
        return _shortened(names[int(classes[0])], longest)
    return "\n".join(f"{_shortened(names[index], longest - 5)} {share:.0%}" for share, index in parts)


def labels_text(label: Tensor, names: list[str], longest: int = 14) -> str:
    """The names of the labels (classes,) that are present, one a line, with their shares if they are blended."""
    present = [(names[place], float(label[place])) for place in label.nonzero().flatten().tolist()]
    lines = [_shortened(f"{name}" if share > 0.995 else f"{name} {share:.0%}", longest) for name, share in present]
    return "\n".join([*lines[:MAX_LINES], *[f"{len(lines) - MAX_LINES} more"] * (len(lines) > MAX_LINES)]) or "none"


def numbers_text(label: Tensor, names: list[str], longest: int = 14) -> str:
    """The values of the targets (targets,), one a line; of several, with their names."""
    values = [f"{value:.4g}" for value in label.tolist()[:MAX_LINES]]
    if len(names) == 1:
        return values[0]
    room = [longest - len(value) - 1 for value in values]
    return "\n".join(f"{_shortened(name, size)} {v}" for name, size, v in zip(names, room, values, strict=False))


def _shortened(name: str, longest: int) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1]}…"
