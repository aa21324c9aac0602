"""A table's net asked about rows, and about rows that are changed in one column."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor

from src.report.rows import rows_of
from src.report.tables.columns import Column

BATCH = 1024  # rows at once: with 16,000 a net takes two to three times as long, its cache being too small


@dataclass(frozen=True)
class TableRows:
    """Rows of a split as a net reads them.  numbers: which rows of the split these are, from 0."""

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

    def evenly(self, most: int) -> "TableRows":
        """So many of the rows at most, evenly spread."""
        return self.take(np.arange(0, len(self), -(-len(self) // most)))

    def with_column(self, column: Column, others: "TableRows") -> "TableRows":
        """These rows, but all inputs that are made of a column as they are in as many other rows."""
        categories, continuous = self.categories.clone(), self.continuous.clone()
        codes, numbers = [category.place for category in column.categories], column.number_places
        categories[:, codes] = others.categories[:, codes]
        continuous[:, numbers] = others.continuous[:, numbers]
        return TableRows(categories, continuous, self.targets, self.numbers)


_FIELDS = [field.name for field in fields(TableRows)]


def read_rows(datamodule: pl.LightningDataModule, max_rows: int) -> tuple[TableRows, int]:
    """The rows of the report's split, of more than max_rows every second or third or so; and how many it has."""
    total = sum(len(targets) for _, _, targets in rows_of(datamodule))
    step = -(-total // max_rows)
    parts, start = [], 0
    for batch in rows_of(datamodule):
        chosen = slice(-start % step, None, step)
        parts.append([tensor[chosen] for tensor in batch])
        start += len(batch[2])
    tensors = (torch.cat(column) for column in zip(*parts, strict=True))
    return TableRows(*tensors, numbers=torch.arange(0, total, step)), total


class TableNet:
    """What a table's model says. Its answers are, on the CPU in float64: logarithms of probabilities (rows, classes),
    or scaled values (rows, targets).

    names: of the classes or the targets.
    """

    def __init__(self, model: Any) -> None:
        """model: a TabularModel, or what has its spec, its forward, `predict`, `decoded` and `regression_loss`."""
        spec = model.hparams["spec"]
        self.model = model
        self.is_regression: bool = spec["task"] == "regression"
        targets = spec["processing"]["choices"]["target"]
        self.learns_logarithms: bool = spec["processing"]["target"].get("kind", "").startswith("log")
        self.target: str = ", ".join(targets)
        self.names: list[str] = targets if self.is_regression else [str(name) for name in spec["class_names"]]

    @property
    def is_binary(self) -> bool:
        """Whether there are two classes: the second one's probability says all."""
        return not self.is_regression and len(self.names) == 2

    @torch.inference_mode()
    def answers(self, rows: TableRows) -> Tensor:
        """What it says of rows."""
        batches = zip(rows.categories.split(BATCH), rows.continuous.split(BATCH), strict=True)
        return torch.cat([self._answers(*batch).cpu().double() for batch in batches])

    def _answers(self, categories: Tensor, continuous: Tensor) -> Tensor:
        if not self.is_regression:
            probabilities = self.model.predict(categories, continuous)
            return probabilities.clamp_min(torch.finfo(probabilities.dtype).tiny).log()
        outputs = self.model(categories, continuous).float()
        return outputs.mean(1) if outputs.ndim == 3 else outputs  # an ensemble's members

    def losses(self, rows: TableRows) -> np.ndarray:
        """The loss of each row: what the training lowers, without its class weights and label smoothing."""
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
