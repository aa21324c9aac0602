"""What an image classifier said of each picture of a split."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor

from src.report.rows import rows_of


@dataclass(frozen=True)
class Outcomes:
    """An entry for each picture that was looked at; total: how many the split has.

    rows: its place in the split.  labels, predicted: classes.  confidence: the probability of the predicted class.
    losses: minus the logarithm of the true class's probability.
    """

    rows: np.ndarray
    labels: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    losses: np.ndarray
    total: int

    @property
    def right(self) -> np.ndarray:
        """Whether the prediction is the label."""
        return self.predicted == self.labels

    def counts(self, num_classes: int) -> np.ndarray:
        """How often which class was taken for which: (true classes, predicted classes)."""
        pairs = self.labels * num_classes + self.predicted
        return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


@torch.inference_mode()
def outcomes_of(model: pl.LightningModule, datamodule: pl.LightningDataModule, max_rows: int) -> Outcomes:
    """Ask the model about the report's split: all pictures, or, of more than max_rows, every second or third or so."""
    total = sum(len(labels) for _, labels in rows_of(datamodule))
    step = -(-total // max_rows)
    parts, start = [], 0
    for images, labels in rows_of(datamodule):
        chosen = slice(-start % step, None, step)
        start += len(labels)
        if len(labels[chosen]):
            parts.append(_answers(model, images[chosen], labels[chosen]))
    columns = (torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True))
    return Outcomes(np.arange(0, total, step), *columns, total=total)


def _answers(model: pl.LightningModule, images: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
    logits = model(images).float()
    confidence, predicted = logits.softmax(1).max(1)
    return labels, predicted, confidence, F.cross_entropy(logits, labels, reduction="none")


def pictures_at(datamodule: pl.LightningDataModule, rows: Iterable[int]) -> dict[int, Tensor]:
    """The pictures at some places of the report's split, (channels, height, width) each."""
    wanted, found, start = set(rows), {}, 0
    for images, _ in rows_of(datamodule):
        found |= {row: images[row - start] for row in wanted.intersection(range(start, start + len(images)))}
        start += len(images)
    return found


class Confusion(NamedTuple):
    """A class taken for another; times: how often; example: the mistake of this kind with the highest loss."""

    true: int
    taken: int
    times: int
    example: int


def confusions_of(outcomes: Outcomes, num_classes: int) -> list[Confusion]:
    """All pairs of classes that were confused, the most frequent first."""
    counts = outcomes.counts(num_classes)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[: np.count_nonzero(counts)]
    found = []
    for true, taken in zip(*map(np.ndarray.tolist, np.unravel_index(order, counts.shape)), strict=True):
        mistakes = np.flatnonzero((outcomes.labels == true) & (outcomes.predicted == taken))
        worst = int(mistakes[outcomes.losses[mistakes].argmax()])
        found.append(Confusion(true, taken, int(counts[true, taken]), worst))
    return found
