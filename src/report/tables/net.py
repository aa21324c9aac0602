"""Asks a table's net about rows, and about rows that are changed in one column."""

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor

from src.report.rows import spread_rows
from src.report.tables.columns import Column

BATCH_SIZE = 1024  # rows: with 16,000 a net takes two to three times as long, as its cache is too small


@dataclass(frozen=True)
class TableRows:
    """Rows of a split as a net reads them. numbers: their places in the split, from 0."""

    categories: Tensor
    continuous: Tensor
    targets: Tensor
    numbers: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, rows: Any) -> "TableRows":
        """The rows at some places among these."""
        places = torch.as_tensor(rows)
        return TableRows(*(values[places.to(values.device)] for values in map(self.__getattribute__, _FIELDS)))

    def evenly(self, max_rows: int) -> "TableRows":
        """At most max_rows of these rows, evenly spread."""
        return self.take(np.arange(0, len(self), -(-len(self) // max_rows)))

    def with_column(self, column: Column, others: "TableRows") -> "TableRows":
        """These rows with all inputs of one column taken from as many other rows."""
        categories, continuous = self.categories.clone(), self.continuous.clone()
        codes, numbers = [category.place for category in column.categories], column.number_places
        categories[:, codes] = others.categories[:, codes]
        continuous[:, numbers] = others.continuous[:, numbers]
        return TableRows(categories, continuous, self.targets, self.numbers)


_FIELDS = [field.name for field in fields(TableRows)]


def read_rows(datamodule: pl.LightningDataModule, max_rows: int) -> tuple[TableRows, int]:
    """At most max_rows evenly spread rows of the report's split, and how many rows it has."""
    batches, places = spread_rows(datamodule, max_rows)
    tensors = (torch.cat(column) for column in list(zip(*batches, strict=True))[:3])  # without weights
    return TableRows(*tensors, numbers=torch.tensor(places)), places.stop


class TableNet:
    """A table's model with answers on the CPU in float64.

    An answer is a row of log probabilities (one for each class) or of scaled values (one for each target).

    Attributes:
        names: of the classes or the targets.
    """

    def __init__(self, model: Any) -> None:
        """model: a TabularModel, or what has its spec, `answers`, `decoded` and `regression_loss`."""
        spec = model.hparams["spec"]
        self.model = model
        self.is_regression: bool = spec["task"] == "regression"
        targets = spec["processing"]["choices"]["target"]
        self.learns_logarithms: bool = spec["processing"]["target"].get("kind", "").startswith("log")
        self.target: str = ", ".join(targets)
        self.names: list[str] = targets if self.is_regression else [str(name) for name in spec["class_names"]]

    @property
    def is_binary(self) -> bool:
        """Whether there are two classes: the probability of the second one then says all."""
        return not self.is_regression and len(self.names) == 2

    @torch.inference_mode()
    def answers(self, rows: TableRows) -> Tensor:
        """(rows, classes or targets)."""
        batches = zip(rows.categories.split(BATCH_SIZE), rows.continuous.split(BATCH_SIZE), strict=True)
        return torch.cat([self._answers(*batch).cpu().double() for batch in batches])

    def _answers(self, categories: Tensor, continuous: Tensor) -> Tensor:
        answers = self.model.answers(categories, continuous)
        return answers if self.is_regression else answers.clamp_min(math.log(torch.finfo(torch.float32).tiny))

    def losses(self, rows: TableRows) -> np.ndarray:
        """The training loss of each row, without class weights and label smoothing."""
        answers, targets = self.answers(rows), rows.targets.cpu()
        if not self.is_regression:
            return F.nll_loss(answers, targets, reduction="none").numpy()
        return self.model.regression_loss(answers, targets.double(), reduction="none").mean(1).numpy()

    def in_units(self, answers: Tensor) -> np.ndarray:
        """Answers as probabilities, or in the targets' units."""
        return (self.model.decoded(answers) if self.is_regression else answers.exp()).numpy()

    def predictions(self, rows: TableRows) -> np.ndarray:
        """Probabilities (rows, classes), or values in the targets' units (rows, targets)."""
        return self.in_units(self.answers(rows))

    def truth(self, rows: TableRows) -> np.ndarray:
        """Class numbers (rows,), or values in the targets' units (rows, targets)."""
        targets = rows.targets.cpu()
        return self.in_units(targets.double()) if self.is_regression else targets.numpy()
