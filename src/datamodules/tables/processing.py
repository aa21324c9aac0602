"""Turns the rows of a table into the inputs of a net, as fitted to the training rows."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from src.datamodules.tables.categories import UNNAMED, encode_categories, fit_categories, is_text
from src.datamodules.tables.cells import FIRST_KNOWN
from src.datamodules.tables.checks import get_columns
from src.datamodules.tables.continuous import Scaling, check_scaling, encode_continuous, fit_continuous, outside
from src.datamodules.tables.dates import CATEGORY_PARTS, CONTINUOUS_PARTS, check_parts, part_name, split_dates
from src.datamodules.tables.targets import (
    TargetScaling,
    Task,
    check_target,
    decode_target,
    encode_target,
    fit_target,
)


@dataclass(kw_only=True, eq=False)
class TableProcessing:
    """Turns categories into codes and dates into parts, scales numbers, and encodes targets.

    `fit` sees the training rows; nothing else changes the state.
    """

    target: str | list[str]  # a column; for regression one or more
    task: Task
    categorical: list[str]  # each column is named once, here or in the next two
    continuous: list[str]
    dates: list[str]
    min_freq: int  # categories that are rarer in the training rows are unknown
    continuous_scaling: Scaling  # `standardise`, or `quantile` to a normal distribution by rank
    clip_numbers: bool  # whether a number outside the range of the training rows counts as its end
    target_scaling: TargetScaling  # for regression, see `fit_target`
    date_parts: list[str]
    date_format: str | None  # of dates that are text; None means ISO 8601
    positive: Any  # the class that binary scores refer to; None means the last one
    fitted: dict[str, Any] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        if self.min_freq < 1:
            raise ValueError(f"datamodule.min_freq must be positive, got {self.min_freq}")
        self.target = [self.target] if isinstance(self.target, str) else list(self.target)
        check_target(self.target, self.task, self.target_scaling, self.positive)
        check_scaling(self.continuous_scaling)
        check_parts(self.date_parts)
        self._check_names()

    def _check_names(self) -> None:
        if not self.columns:
            raise ValueError("a net needs an input: name columns under categorical, continuous or dates")
        parts = [part_name(column, part) for column in self.dates for part in self.date_parts]
        names = [*self.target, *self.columns, *parts]
        repeated = [name for name in names if names.count(name) > 1]
        if repeated:
            raise ValueError(
                f"the column {repeated[0]!r} is used twice: name it once, as the target or under categorical, "
                "continuous or dates; the parts of a date are named COLUMN_PART"
            )

    @property
    def columns(self) -> list[str]:
        """The columns that inputs are made from, as the table names them."""
        return [*self.categorical, *self.continuous, *self.dates]

    def fit(self, frame: pd.DataFrame) -> None:
        """Learn categories, scales and classes from the training rows.

        Raises ValueError for a table that does not fit the choices; the message has column, row and value.
        """
        get_columns(frame, [*self.target, *self.columns])
        if frame.empty:
            raise ValueError("the table has no training rows")
        self.fitted = {"dates_in_utc": False}
        self.fitted |= {
            "text_columns": [v.name for v in get_columns(frame, self.categorical) if is_text(v)],
            "categories": {v.name: fit_categories(v, self.min_freq) for v in self._category_columns(frame)},
            "continuous": {v.name: self._fit_number(v) for v in self._number_columns(frame)},
            "target": fit_target(
                get_columns(frame, self.target), task=self.task, scaling=self.target_scaling, positive=self.positive
            ),
        }
        self._fit_shares(frame)

    def _fit_number(self, values: pd.Series) -> dict[str, Any]:
        return fit_continuous(values, self.continuous_scaling, self.clip_numbers)

    def _fit_shares(self, frame: pd.DataFrame) -> None:
        """Learn which shares of each category are missing and unknown in training, and which columns are constant.

        Of a column of one code, training says nothing about others: all values get it.
        """
        self.fitted |= {"category_shares": {}, "constant_codes": {}}
        for values in self._category_columns(frame):
            counts = np.bincount(self._codes(values), minlength=FIRST_KNOWN)
            missing, unknown = (counts[:FIRST_KNOWN] / len(frame)).tolist()
            self.fitted["category_shares"][values.name] = {"missing": missing, "unknown": unknown}
            if np.count_nonzero(counts) == 1:
                self.fitted["constant_codes"][values.name] = int(counts.argmax())

    def _category_columns(self, frame: pd.DataFrame) -> Iterator[pd.Series]:
        return self._columns(frame, self.categorical, CATEGORY_PARTS)

    def _number_columns(self, frame: pd.DataFrame) -> Iterator[pd.Series]:
        return self._columns(frame, self.continuous, CONTINUOUS_PARTS)

    def _columns(self, frame: pd.DataFrame, names: list[str], kinds: Collection[str]) -> Iterator[pd.Series]:
        yield from get_columns(frame, names)
        parts = [part for part in self.date_parts if part in kinds]
        for values in get_columns(frame, self.dates):
            yield from split_dates(values, parts, self.date_format, utc=self.dates_in_utc)

    @property
    def dates_in_utc(self) -> bool:
        """Whether times with a zone are turned into UTC, as checkpoints of older versions do."""
        return self.fitted.get("dates_in_utc", True)

    def encode(self, frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Return category codes, int64 (rows, categories), and scaled numbers, float32 (rows, numbers), finite.

        Raises ValueError if a column is missing, or a value is not a number or date where it must be one.
        """
        get_columns(frame, self.columns)
        return self.codes(frame), self.numbers(frame)

    def codes(self, frame: pd.DataFrame) -> np.ndarray:
        """Return only the category codes, of a table that may lack the continuous columns."""
        categories = np.empty((len(frame), len(self.category_names)), np.int64)
        for number, values in enumerate(self._category_columns(frame)):
            constant = self.fitted.get("constant_codes", {}).get(values.name)  # older checkpoints have none
            categories[:, number] = self._codes(values) if constant is None else constant
        return categories

    def _codes(self, values: pd.Series) -> np.ndarray:
        name = str(values.name)
        return encode_categories(values, self.fitted["categories"][name], had_missing=self.had_missing(name))

    def numbers(self, frame: pd.DataFrame) -> np.ndarray:
        """Return only the scaled numbers, of a table that may lack the categorical columns."""
        continuous = np.empty((len(frame), len(self.continuous_names)), np.float32)
        number = 0
        for values in self._number_columns(frame):
            for column in encode_continuous(values, self.fitted["continuous"][values.name]):
                continuous[:, number] = column
                number += 1
        return continuous

    def outside(self, frame: pd.DataFrame) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Return, of each column of numbers, which rows are outside the range of training, and which have no number.

        Both are bool (rows,).
        """
        columns = list(self._number_columns(frame))
        found = {str(values.name): outside(values, self.fitted["continuous"][values.name]) for values in columns}
        return {name: rows for name, (rows, _) in found.items()}, {name: rows for name, (_, rows) in found.items()}

    @property
    def unread_shares(self) -> dict[str, dict[str, float]]:
        """For each column of categories and numbers, the shares of training rows that are missing and unknown.

        Empty where an older checkpoint does not know them.
        """
        numbers = self.fitted["continuous"].items()
        shares = {name: {"missing": f["missing_share"]} for name, f in numbers if "missing_share" in f}
        return shares | self.fitted.get("category_shares", {})

    def encode_target(self, frame: pd.DataFrame) -> np.ndarray:
        """Return the targets of a table as in `targets.encode_target`."""
        return encode_target(get_columns(frame, self.target), self.fitted["target"])

    def decode_target(self, values: np.ndarray) -> np.ndarray:
        """Return class names or values in original units, as in `targets.decode_target`."""
        return decode_target(values, self.fitted["target"])

    def had_missing(self, column: str) -> bool | None:
        """Whether training rows lacked a category; None for a checkpoint that does not know, as older ones do."""
        shares = self.unread_shares.get(column)
        return None if shares is None else shares["missing"] > 0

    @property
    def category_names(self) -> list[str]:
        """The names of the columns of codes."""
        return list(self.fitted["categories"])

    @property
    def category_sizes(self) -> list[int]:
        """The number of codes in each of them."""
        return [len(self.categories(name)) for name in self.category_names]

    def categories(self, column: str) -> list[str]:
        """Return the texts of a column's codes."""
        return [*UNNAMED, *self.fitted["categories"][column]]

    @property
    def continuous_names(self) -> list[str]:
        """The names of the columns of numbers; COLUMN_missing flags what is missing in COLUMN."""
        found = self.fitted["continuous"].items()
        return [f"{name}{suffix}" for name, f in found for suffix in ["", "_missing"][: 1 + f["missing"]]]

    @property
    def class_names(self) -> list[str]:
        """The classes in the order of their numbers; empty for regression."""
        return self.fitted["target"].get("class_names", [])

    @property
    def num_outputs(self) -> int:
        """1 for binary, the number of classes for multiclass, the number of targets for regression."""
        return len(self.class_names) if self.task == "multiclass" else len(self.target)

    @property
    def state(self) -> dict[str, Any]:
        """All choices and what was fitted, as plain data for `from_state`; valid after `fit`."""
        choices = {name: value for name, value in vars(self).items() if name != "fitted"}
        return {"choices": choices, **self.fitted}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "TableProcessing":
        """Make the processing that a state was taken from."""
        processing = cls(**{"clip_numbers": False, **state["choices"]})  # what older checkpoints did
        processing.fitted = {name: fitted for name, fitted in state.items() if name != "choices"}
        return processing
