"""What an image model predicts for the images of a split."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor

from src.report.rows import rows_of, spread_rows


@dataclass(frozen=True)
class Outcomes:
    """One entry for each image that was looked at.

    Attributes:
        rows: its place in the split.
        labels, predicted: classes.
        confidence: the probability of the predicted class.
        losses: minus the logarithm of the true class's probability.
        total: how many images the split has.
    """

    rows: np.ndarray
    labels: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    losses: np.ndarray
    total: int

    @property
    def is_correct(self) -> np.ndarray:
        """Whether the prediction is the label."""
        return self.predicted == self.labels

    def counts(self, num_classes: int) -> np.ndarray:
        """The confusion matrix: (true classes, predicted classes)."""
        pairs = self.labels * num_classes + self.predicted
        return np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)


@torch.inference_mode()
def outcomes_of(model: pl.LightningModule, datamodule: pl.LightningDataModule, max_rows: int) -> Outcomes:
    """Ask the model about at most max_rows images of the report's split, evenly spread."""
    batches, places = spread_rows(datamodule, max_rows)
    columns = zip(*(_answers(model, *batch) for batch in batches), strict=True)
    arrays = (torch.cat(column).cpu().numpy() for column in columns)
    return Outcomes(np.array(places), *arrays, total=places.stop)


def _answers(model: pl.LightningModule, images: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
    logits = model(images).float()
    confidence, predicted = logits.softmax(1).max(1)
    return labels, predicted, confidence, F.cross_entropy(logits, labels, reduction="none")


@dataclass(frozen=True)
class Answers:
    """One entry for each image that was looked at, of several labels or numbers.

    Attributes:
        rows: its place in the split.
        labels: (images, labels or targets).
        answers: (images, labels or targets), probabilities or values in the targets' units.
        losses: (images,).
        total: how many images the split has.
    """

    rows: np.ndarray
    labels: np.ndarray
    answers: np.ndarray
    losses: np.ndarray
    total: int

    @property
    def broken(self) -> int:
        """How many images have an answer that is not a number."""
        return int(np.isnan(self.answers).any(1).sum())


@torch.inference_mode()
def answers_of(model: Any, datamodule: pl.LightningDataModule, max_rows: int) -> Answers:
    """Ask the model about at most max_rows images of the report's split, evenly spread."""
    batches, places = spread_rows(datamodule, max_rows)
    found = []
    for images, labels in batches:
        outputs = model(images).float()
        found.append((labels, model.task.answers(outputs), model.task.losses(outputs, labels)))
    arrays = (torch.cat(column).cpu().double().numpy() for column in zip(*found, strict=True))
    return Answers(np.array(places), *arrays, total=places.stop)


def images_at(datamodule: pl.LightningDataModule, rows: Iterable[int]) -> dict[int, Tensor]:
    """The images at some places of the report's split, (channels, height, width) each."""
    wanted, found, start = set(rows), {}, 0
    for images, _ in rows_of(datamodule):
        found |= {row: images[row - start] for row in wanted.intersection(range(start, start + len(images)))}
        start += len(images)
    return found


def advice_for(confidence: np.ndarray, is_correct: np.ndarray) -> str:
    """What to try if the probabilities are wrong.

    Args:
        confidence: (answers,), the probability of each answer.
        is_correct: (answers,).
    """
    if confidence.mean() > is_correct.mean():
        return "The net is too confident: more data, augmentation or label smoothing help."
    return "The net is not confident enough: longer training, or less label smoothing and mixup, help."


class Confusion(NamedTuple):
    """A class mistaken for another: how many times, and the place of the mistake with the highest loss."""

    true: int
    predicted: int
    times: int
    example: int


def confusions_of(outcomes: Outcomes, num_classes: int) -> list[Confusion]:
    """All pairs of classes that were confused, the most frequent first."""
    counts = outcomes.counts(num_classes)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[: np.count_nonzero(counts)]
    found = []
    for true, predicted in zip(*map(np.ndarray.tolist, np.unravel_index(order, counts.shape)), strict=True):
        mistakes = np.flatnonzero((outcomes.labels == true) & (outcomes.predicted == predicted))
        worst = int(mistakes[outcomes.losses[mistakes].argmax()])
        found.append(Confusion(true, predicted, int(counts[true, predicted]), worst))
    return found
