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
from src.report.images.captions import captions_of


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
        images, labels = (tensor[: self.rows * self.columns].cpu() for tensor in batch)
        publish(draw_grid(as_bytes(images), captions_of(labels, spec), self.columns), self.path, trainer)


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
