"""Divides the rows of a table into training, validation and test rows: by chance, time, group or a column."""

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from src.datamodules.folds import blocks_of_time, check_fold, deal, deal_groups, fold_rule
from src.datamodules.stratified import shuffle_by_class
from src.datamodules.tables.checks import get_columns, row_label
from src.datamodules.tables.continuous import read_numbers
from src.datamodules.tables.dates import split_dates

Kind = Literal["random", "time", "group", "column"]
NAMES = ("train", "valid", "test")
NUMBERS = {"train": 0, "valid": 1, "val": 1, "validation": 1, "test": 2}


@dataclass(frozen=True)
class Splitting:
    """How rows are divided.

    `random` keeps the shares of the classes; `time` holds out the last rows by `column`; `group` keeps rows with the
    same value of `column` together; `column` has the values train, valid (val, validation) and test.

    With a fold, its rows are tested, in place of a test_fraction, and the validation rows are taken from those to train
    on. A fold of `time` is trained on what came before it.
    """

    kind: Kind
    column: str | None
    valid_fraction: float  # of the rows; 0 means no such split
    test_fraction: float
    valid_from: str | float | None  # for `time`, where the split begins, instead of its fraction
    test_from: str | float | None
    date_format: str | None  # of dates that are text; None means ISO 8601
    seed: int  # of the chance in `random` and `group`
    fold: int | None = None  # see src/datamodules/folds.py
    num_folds: int = 5

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"datamodule.split must be {', '.join(get_args(Kind))}, got {self.kind}")
        if self.kind != "random" and self.column is None:
            raise ValueError(f"datamodule.split={self.kind} needs datamodule.split_column, the name of a column")
        if min(self.valid_fraction, self.test_fraction) < 0 or self.valid_fraction + self.test_fraction >= 1:
            raise ValueError(
                "datamodule.valid_fraction and test_fraction must be 0 or more and leave rows to train on, "
                f"got {self.valid_fraction} and {self.test_fraction}"
            )
        check_fold(self.fold, self.num_folds)
        if self.fold is not None and self.kind == "column":
            raise ValueError(
                "datamodule.fold holds out rows by split=random, group or time; got split=column. A column that "
                "numbers the folds goes with split=group, and num_folds as many as it has values"
            )

    @property
    def rule(self) -> dict[str, Any] | None:
        """The datamodule's arguments that decide which rows are held out; None for `column`, where the table does."""
        if self.kind == "column":
            return None
        rule: dict[str, Any] = {"split": self.kind, "valid_fraction": self.valid_fraction}
        rule |= {"test_fraction": self.test_fraction} if self.fold is None else fold_rule(self.fold, self.num_folds)
        if self.kind in ("random", "group"):
            rule["seed"] = self.seed
        if self.kind == "time":
            rule |= {"valid_from": self.valid_from, "test_from": self.test_from, "date_format": self.date_format}
        return rule if self.kind == "random" else {**rule, "split_column": self.column}

    def divide(self, frame: pd.DataFrame, classes: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Return the positions of the rows of `train`, and of the other splits that have rows, in the table's order.

        Args:
            frame: the table.
            classes: (rows,), which `random` gives the same shares in each split.

        Raises:
            ValueError: if `train`, or a split that was asked for, would be empty.
        """
        classes = np.zeros(len(frame), np.int64) if classes is None else classes
        parts = self.numbered(frame, classes) if self.fold is None else self._parts_by_fold(frame, classes, self.fold)
        rows = {name: np.flatnonzero(parts == part) for part, name in enumerate(NAMES)}
        for name in self._asked():
            if not len(rows[name]):
                raise ValueError(f"datamodule.split={self.kind} gives none of {len(frame):,} rows to {name}{self._way}")
        return {name: found for name, found in rows.items() if len(found)}

    @property
    def _way(self) -> str:
        if self.kind != "random":
            return f"; change datamodule.split_column ({self.column}), valid_fraction or test_fraction"
        return (
            ": of each class, or of all, one row is left to train on; give more rows, leave out classes with a single "
            "row, or set datamodule.test_fraction=0"
        )

    def numbered(self, frame: pd.DataFrame, classes: np.ndarray) -> np.ndarray:
        """Return the number of each row's split."""
        if self.kind == "random":
            return self._by_chance(classes)
        return {"time": self._by_time, "group": self._by_group, "column": _by_name}[self.kind](self._values(frame))

    def _values(self, frame: pd.DataFrame) -> pd.Series:
        assert self.column is not None  # since __post_init__
        return get_columns(frame, [self.column])[0]

    def _parts_by_fold(self, frame: pd.DataFrame, classes: np.ndarray, fold: int) -> np.ndarray:
        """Test on the rows of the fold, and divide those that it leaves; -1: later rows by time, which are not used."""
        folds = self._folds(frame, classes)
        parts = np.where(folds == fold, 2, -1)
        left = np.flatnonzero(folds < fold if self.kind == "time" else folds != fold)
        rest = replace(self, fold=None, test_fraction=0, test_from=None, valid_from=None)
        parts[left] = rest.numbered(frame.iloc[left], classes[left])
        return parts

    def _folds(self, frame: pd.DataFrame, classes: np.ndarray) -> np.ndarray:
        if self.kind == "random":
            return deal(classes, self.num_folds, self.seed)
        values = self._values(frame)
        if self.kind == "time":
            return blocks_of_time(self._times_of(values), self.num_folds)
        return deal_groups(pd.factorize(values, use_na_sentinel=False)[0], self.num_folds, self.seed)

    def _asked(self) -> list[str]:
        if self.kind == "column":
            return ["train"]
        shares = {"train": 1, "valid": self.valid_fraction, "test": self.test_fraction if self.fold is None else 1}
        return [name for name, share in shares.items() if share]

    def _by_chance(self, classes: np.ndarray) -> np.ndarray:
        """Give each split its share of each class and of all rows, as near as whole rows allow.

        Each class keeps a row to train on.
        """
        groups = shuffle_by_class(classes, self.seed)
        sizes = np.array([len(rows) for rows in groups])
        asked = [bool(self.valid_fraction), bool(self.test_fraction)]
        held_out = self._shared_out(sizes, self.valid_fraction + self.test_fraction, sizes - 1, sum(asked))
        tested = self._shared_out(sizes, self.test_fraction, held_out, asked[1])
        parts = np.zeros(len(classes), np.int8)
        for rows, held, test in zip(groups, held_out, tested, strict=True):
            parts[rows[len(rows) - held :]] = 1
            parts[rows[len(rows) - test :]] = 2
        return parts

    def _shared_out(self, sizes: np.ndarray, share: float, most: np.ndarray, least: int) -> np.ndarray:
        """Return how many rows of each class make up a share of all rows, at most `most` of each and `least` in all.

        Each class gives the nearest whole number. Of 120 classes with 5 rows that could be a fifth of all rows for a
        share of a tenth, or nothing: where the sum is off by more than a twentieth, some classes give one more or less.
        """
        counts = np.minimum([size - self._cut(size, share) for size in sizes.tolist()], most)
        wanted = max(sizes.sum() - self._cut(int(sizes.sum()), share), least)
        if abs(wanted - counts.sum()) <= max(1.5, wanted / 20) and counts.sum() >= least:
            return counts
        by_chance = np.random.default_rng(self.seed).permutation(len(sizes))
        step = 1 if wanted > counts.sum() else -1
        while (off := abs(int(wanted - counts.sum()))) and (can := counts < most if step > 0 else counts > 0).any():
            order = np.lexsort((by_chance, step * (counts - share * sizes)))
            counts[order[can[order]][:off]] += step
        return counts

    @staticmethod
    def _cut(num_rows: int, share: float) -> int:
        """Return the position after which the rows are this share of all."""
        return round(num_rows * (1 - share))

    def _times_of(self, values: pd.Series) -> np.ndarray:
        times = _times(values, self.date_format)
        if np.isnan(times).any():
            row = row_label(values, int(np.isnan(times).argmax()))
            raise ValueError(f"datamodule.split=time needs {values.name!r} in every row, but {row} has none; add it")
        return times

    def _by_time(self, values: pd.Series) -> np.ndarray:
        """Hold out the last rows; rows of the same time are in the same split."""
        times = self._times_of(values)
        ordered = np.append(np.sort(times), np.inf)
        parts = np.zeros(len(times), np.int8)
        held_out = ((self.valid_from, self.valid_fraction + self.test_fraction), (self.test_from, self.test_fraction))
        for part, (begin, share) in enumerate(held_out, 1):
            first = ordered[self._cut(len(times), share)] if begin is None else _time(begin, values)
            parts[times >= first] = part
        return parts

    def _by_group(self, values: pd.Series) -> np.ndarray:
        """Take groups in random order until a split has its share of the rows; rows without a group form one group."""
        groups, names = pd.factorize(values, use_na_sentinel=False)
        order = np.random.default_rng(self.seed).permutation(len(names))
        sizes = np.bincount(groups)[order]
        middles = (np.cumsum(sizes) - sizes / 2) / len(groups)
        parts = np.empty(len(names), np.int8)
        parts[order] = 2 - np.searchsorted([self.test_fraction, self.test_fraction + self.valid_fraction], middles)
        return parts[groups]


def _by_name(values: pd.Series) -> np.ndarray:
    names = values.astype(str).str.lower()
    wrong = ~names.isin(list(NUMBERS)).to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"datamodule.split=column needs train, valid or test in {values.name!r}, {row_label(values, row)} has "
            f"{values.iloc[row]!r}"
        )
    return names.map(NUMBERS).to_numpy(np.int8)


def _times(values: pd.Series, date_format: str | None) -> np.ndarray:
    """Return numbers unchanged and dates as days, NaN where a value is missing."""
    if pd.api.types.is_numeric_dtype(values):
        return read_numbers(values)
    return next(split_dates(values, ["elapsed"], date_format, utc=True)).to_numpy()


def _time(begin: str | float, values: pd.Series) -> float:
    """Return valid_from or test_from on the scale of the column's values."""
    named = pd.Series([begin], name="datamodule.valid_from or test_from", dtype=object)
    is_number = pd.api.types.is_numeric_dtype(values)
    return float((read_numbers(named) if is_number else _times(named, None))[0])
