"""Turns rows of a table into a net's inputs, as fitted on the training rows."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from src.datamodules.tables.categories import UNNAMED, encode_categories, fit_categories, is_text
from src.datamodules.tables.checks import columns_of
from src.datamodules.tables.continuous import Scaling, check_scaling, encode_continuous, fit_continuous
from src.datamodules.tables.dates import CATEGORY_PARTS, CONTINUOUS_PARTS, check_parts, part_name, split_dates
from src.datamodules.tables.targets import (
    TargetScaling,
    Task,
    check_target,
    decode_target,
    encode_target,
    fit_target,
)


class TableProcessing:
    """Categories to codes, dates to parts, numbers scaled, targets to what a net learns.

    target: a column, for regression one or more.  categorical, continuous, dates: the columns that are used, each once.
    min_freq: categories that are rarer in the training rows are unknown.
    continuous_scaling: `standardise`, or `quantile` to a normal distribution by rank.
    target_scaling: for regression; see table_targets.  positive: the class that binary scores are of; see there.
    date_parts, date_format: see table_dates.

    `fit` sees the training rows, and nothing else changes the state.
    """

    def __init__(
        self,
        *,
        target: str | list[str],
        task: Task,
        categorical: list[str],
        continuous: list[str],
        dates: list[str],
        min_freq: int,
        continuous_scaling: Scaling,
        target_scaling: TargetScaling,
        date_parts: list[str],
        date_format: str | None,
        positive: Any,
    ) -> None:
        if min_freq < 1:
            raise ValueError(f"datamodule.min_freq must be positive, got {min_freq}")
        self.target = [target] if isinstance(target, str) else list(target)
        check_target(self.target, task, target_scaling, positive)
        self.task: Task = task
        self.categorical = list(categorical)
        self.continuous = list(continuous)
        self.dates = list(dates)
        self.min_freq = min_freq
        self.continuous_scaling: Scaling = check_scaling(continuous_scaling)
        self.target_scaling: TargetScaling = target_scaling
        self.date_parts = check_parts(date_parts)
        self.date_format = date_format
        self.positive = positive
        self.fitted: dict[str, Any] = {}
        self._check_names()

    def _check_names(self) -> None:
        if not self.columns:
            raise ValueError("a net needs an input: name columns under categorical, continuous or dates")
        parts = [part_name(column, part) for column in self.dates for part in self.date_parts]
        names = [*self.target, *self.columns, *parts]
        repeated = [name for name in names if names.count(name) > 1]
        if repeated:
            raise ValueError(
                f"the column {repeated[0]!r} is used twice: name it once, as target or under categorical, continuous "
                "or dates; the parts of a date are named COLUMN_PART"
            )

    @property
    def columns(self) -> list[str]:
        """The columns that inputs are made of, as the table names them."""
        return [*self.categorical, *self.continuous, *self.dates]

    def fit(self, frame: pd.DataFrame) -> None:
        """Learn categories, scales and classes from the training rows.

        Raises ValueError for a table that does not fit the choices, with column, row and value.
        """
        columns_of(frame, [*self.target, *self.columns])
        if frame.empty:
            raise ValueError("the table has no training rows")
        self.fitted = {
            "text_columns": [v.name for v in columns_of(frame, self.categorical) if is_text(v)],
            "categories": {v.name: fit_categories(v, self.min_freq) for v in self._category_columns(frame)},
            "continuous": {v.name: fit_continuous(v, self.continuous_scaling) for v in self._number_columns(frame)},
            "target": fit_target(
                columns_of(frame, self.target), task=self.task, scaling=self.target_scaling, positive=self.positive
            ),
        }

    def _category_columns(self, frame: pd.DataFrame) -> Iterator[pd.Series]:
        yield from columns_of(frame, self.categorical)
        parts = [part for part in self.date_parts if part in CATEGORY_PARTS]
        for values in columns_of(frame, self.dates):
            yield from split_dates(values, parts, self.date_format)

    def _number_columns(self, frame: pd.DataFrame) -> Iterator[pd.Series]:
        yield from columns_of(frame, self.continuous)
        parts = [part for part in self.date_parts if part in CONTINUOUS_PARTS]
        for values in columns_of(frame, self.dates):
            yield from split_dates(values, parts, self.date_format)

    def encode(self, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Category codes, int64 (rows, categories), and scaled numbers, float32 (rows, numbers), finite.

        Raises ValueError for a missing column, a non-number or no date.
        """
        columns_of(frame, self.columns)
        return self.codes(frame), self.numbers(frame)

    def codes(self, frame: pd.DataFrame) -> np.ndarray:
        """The category codes alone, from a table that may lack the continuous columns."""
        categories = np.empty((len(frame), len(self.category_names)), np.int64)
        for number, values in enumerate(self._category_columns(frame)):
            categories[:, number] = encode_categories(values, self.fitted["categories"][values.name])
        return categories

    def numbers(self, frame: pd.DataFrame) -> np.ndarray:
        """The scaled numbers alone, from a table that may lack the categorical columns."""
        continuous = np.empty((len(frame), len(self.continuous_names)), np.float32)
        number = 0
        for values in self._number_columns(frame):
            for column in encode_continuous(values, self.fitted["continuous"][values.name]):
                continuous[:, number] = column
                number += 1
        return continuous

    def encode_target(self, frame: pd.DataFrame) -> np.ndarray:
        """Class numbers, int64 (rows,), or scaled values, float32 (rows, targets).

        Raises ValueError for a missing target, an unseen class or a value that the scaling cannot take.
        """
        return encode_target(columns_of(frame, self.target), self.fitted["target"])

    def decode_target(self, values: np.ndarray) -> np.ndarray:
        """Class names of class numbers, or values in original units, float64, of scaled ones (rows, targets)."""
        return decode_target(values, self.fitted["target"])

    # ---- what was found ----

    @property
    def text_columns(self) -> list[str]:
        """The categorical columns that were text: a reader that guesses types must leave them so, "007" among them."""
        return self.fitted["text_columns"]

    @property
    def category_names(self) -> list[str]:
        """The names of the codes' columns."""
        return list(self.fitted["categories"])

    @property
    def category_sizes(self) -> list[int]:
        """How many codes each of them has."""
        return [len(self.categories(name)) for name in self.category_names]

    def categories(self, column: str) -> list[str]:
        """The texts of a column's codes."""
        return [*UNNAMED, *self.fitted["categories"][column]]

    @property
    def continuous_names(self) -> list[str]:
        """The names of the numbers' columns; COLUMN_missing flags what was missing in COLUMN."""
        found = self.fitted["continuous"].items()
        return [f"{name}{suffix}" for name, f in found for suffix in ["", "_missing"][: 1 + f["missing"]]]

    @property
    def class_names(self) -> list[str]:
        """The classes in the order of their numbers; none for regression."""
        return self.fitted["target"].get("class_names", [])

    @property
    def num_outputs(self) -> int:
        """One for binary, the classes for multiclass, the targets for regression."""
        return len(self.class_names) if self.task == "multiclass" else len(self.target)

    # ---- plain data ----

    @property
    def state(self) -> dict[str, Any]:
        """Everything as plain data, for `from_state`; valid after `fit`."""
        choices = {name: value for name, value in vars(self).items() if name != "fitted"}
        return {"choices": choices, **self.fitted}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "TableProcessing":
        """The processing that a state is of."""
        processing = cls(**state["choices"])
        processing.fitted = {name: fitted for name, fitted in state.items() if name != "choices"}
        return processing
