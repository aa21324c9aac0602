"""What a model reads in place of a table's categories: codes, native categories, mean targets or learned vectors."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from sklearn.model_selection import KFold
from sklearn.preprocessing import OneHotEncoder, StandardScaler, TargetEncoder
from torch import nn

from src.datamodules.tables.encoded import TableRows
from src.datamodules.tables.processing import TableProcessing
from src.models.row_scores import regression_scores
from src.models.tables.scores import class_scores

MAX_LEVELS = 255  # of a native category in HistGradientBoosting
TARGET_TYPES = {"binary": "binary", "multiclass": "multiclass", "regression": "continuous"}


@dataclass(frozen=True)
class Table:
    """The rows of TableData as arrays, and its spec."""

    spec: dict[str, Any]
    splits: dict[str, TableRows]

    @cached_property
    def processing(self) -> TableProcessing:
        """The processing that made the rows."""
        return TableProcessing.from_state(self.spec["processing"])

    @property
    def is_regression(self) -> bool:
        return self.spec["task"] == "regression"

    @cached_property
    def score(self) -> str:
        """The score to compare by: AUROC for classes, the paper's MAPE where all targets are positive, else RMSE."""
        if not self.is_regression:
            return "auroc"
        return (
            "mape" if all((self.decoded(rows.targets.numpy()) > 0).all() for rows in self.splits.values()) else "rmse"
        )

    def targets(self, split: str) -> np.ndarray:
        """The class numbers or scaled values of a split: (rows,)."""
        targets = self.splits[split].targets.numpy()
        return targets[:, 0] if self.is_regression else targets

    def decoded(self, values: np.ndarray) -> np.ndarray:
        """Turn scaled values into original units; probabilities stay as they are."""
        return self.processing.decode_target(values) if self.is_regression else values

    def scores(self, outputs: np.ndarray, split: str) -> dict[str, float]:
        """Score outputs (rows, outputs), probabilities or targets in original units; names are those of train.py."""
        predictions, targets = torch.from_numpy(outputs), self.splits[split].targets
        if self.is_regression:
            originals = torch.from_numpy(self.decoded(targets.numpy()))
            found = regression_scores(predictions, originals, list(self.processing.target))
        else:
            found = class_scores(predictions.clip(min=1e-9).log(), targets)
        return {name: float(score) for name, score in found.items()}

    def joined(self, categories: dict[str, Any]) -> dict[str, np.ndarray]:
        """Join what stands for the categories of each split with the continuous columns: float32 (rows, features)."""
        return {
            split: np.hstack([values, self.splits[split].continuous.numpy()]).astype(np.float32)
            for split, values in categories.items()
        }


@dataclass(frozen=True)
class Part:
    """The features of each split, and the targets of the training rows that a model is fitted on.

    Attributes:
        inputs: by split; `train` has only the rows to fit on.
        targets: of these rows.
        num_native: how many of the first columns are category codes.
    """

    inputs: dict[str, np.ndarray]
    targets: np.ndarray
    num_native: int = 0

    def some(self, count: int, seed: int) -> "Part":
        """Draw at most `count` rows to fit on."""
        if len(self.targets) <= count:
            return self
        rows = np.random.default_rng(seed).permutation(len(self.targets))[:count]
        return Part({**self.inputs, "train": self.inputs["train"][rows]}, self.targets[rows], self.num_native)


def as_codes(table: Table, seed: int) -> Part:
    """Number the categories in their order (as numbers where they are, else as text), standardised."""
    names = table.processing.category_names
    places = [_places(table.processing.categories(name)) for name in names]
    codes = {
        split: np.stack([place[rows.categories[:, column]] for column, place in enumerate(places)], axis=1)
        for split, rows in table.splits.items()
    }
    return _standardised(table, codes)


def _places(texts: list[str]) -> np.ndarray:
    """The place of each code in that order; missing and unknown come first."""
    try:
        keys = np.array([float(text) for text in texts[2:]])
    except ValueError:
        keys = np.array(texts[2:])
    places = np.arange(len(texts))
    places[2:][np.argsort(keys, kind="stable")] = np.arange(2, len(texts))
    return places


def as_target_means(table: Table, seed: int) -> Part:
    """Take the mean target of each category, shrunk to that of all; a training row gets it from other rows."""
    folds: Any = KFold(5, shuffle=True, random_state=seed)
    encoder = TargetEncoder(target_type=TARGET_TYPES[table.spec["task"]], cv=folds)
    train = encoder.fit_transform(table.splits["train"].categories.numpy(), table.targets("train"))
    others = {split: encoder.transform(table.splits[split].categories.numpy()) for split in ("valid", "test")}
    return _standardised(table, {"train": train, **others})


def _standardised(table: Table, values: dict[str, Any]) -> Part:
    scaler = StandardScaler().fit(values["train"])
    scaled = {split: scaler.transform(rows) for split, rows in values.items()}
    return Part(table.joined(scaled), table.targets("train"))


def as_categories(table: Table, seed: int) -> Part:
    """Keep the codes, as unordered. Beyond MAX_LEVELS, the rarest of a column are one category."""
    capped = {split: rows.categories.numpy().clip(max=MAX_LEVELS - 1) for split, rows in table.splits.items()}
    return Part(table.joined(capped), table.targets("train"), table.splits["train"].categories.shape[1])


def as_one_hot(table: Table, seed: int) -> Part:
    """Turn the codes into indicators: all categories of a column are equally far from one another."""
    native = as_categories(table, seed)
    encoder: Any = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    encoder.fit(native.inputs["train"][:, : native.num_native])
    indicators = {split: encoder.transform(rows[:, : native.num_native]) for split, rows in native.inputs.items()}
    return Part(table.joined(indicators), native.targets)


def as_vectors(table: Table, embedding: nn.Module, rows: np.ndarray) -> Part:
    """Take the vectors that a net has learned; `rows` are the training rows to fit on."""
    embedding.eval()
    with torch.no_grad():
        vectors = {split: embedding(rows.categories).numpy() for split, rows in table.splits.items()}
    inputs = table.joined(vectors)
    return Part({**inputs, "train": inputs["train"][rows]}, table.targets("train")[rows])
