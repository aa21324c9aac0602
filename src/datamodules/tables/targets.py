"""Turns targets into what a net learns, class numbers or scaled values, and back."""

from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from src.datamodules.tables.categories import distinct_texts
from src.datamodules.tables.cells import FIRST_KNOWN, Spellings, category_text
from src.datamodules.tables.checks import did_you_mean, row_label
from src.datamodules.tables.continuous import mean_and_std, read_numbers

Task = Literal["binary", "multiclass", "regression"]
TargetScaling = Literal["none", "standardise", "log", "log1p"]
INVERSE: dict[str, Callable[[np.ndarray], np.ndarray]] = {"log": np.exp, "log1p": np.expm1}
FORWARD: dict[str, Callable[[np.ndarray], np.ndarray]] = {"log": np.log, "log1p": np.log1p}
ABOVE = {"log": 0.0, "log1p": -1.0}


def check_target(columns: list[str], task: Task, scaling: TargetScaling, positive: Any) -> None:
    """Raise ValueError for choices that fit no target."""
    if task not in get_args(Task):
        raise ValueError(f"datamodule.task must be binary, multiclass or regression, got {task}")
    if scaling not in get_args(TargetScaling):
        raise ValueError(f"datamodule.target_scaling must be none, standardise, log or log1p, got {scaling}")
    if not columns or (task != "regression" and len(columns) > 1):
        raise ValueError(f"task={task} needs one target column, regression one or more, got {columns}")
    if positive is not None and task != "binary":
        raise ValueError(f"datamodule.positive names a class of task=binary, got {positive=} for task={task}")


def fit_target(columns: list[pd.Series], *, task: Task, scaling: TargetScaling, positive: Any) -> dict[str, Any]:
    """Return what `encode_target` and `decode_target` need.

    For classes: `class_names`, sorted as numbers if they all are numbers, otherwise as text whatever the case. Of two,
    the last is the positive one (1, True, yes, >50K), unless `positive` names it.

    For regression: `kind` (the scaling), `mean` and `std` of each column. `log` (positive targets) and `log1p` (targets
    above -1) take the logarithm and then standardise. A value in original units is inverse(scaled * std + mean). Raises
    ValueError for missing targets, a single class, more than two for binary, a target without a logarithm.
    """
    if task != "regression":
        return {"class_names": _class_names(columns[0], task, positive)}
    fitted = [_statistics(column, scaling) for column in columns]
    return {"kind": scaling, "mean": [f["mean"] for f in fitted], "std": [f["std"] for f in fitted]}


def _class_names(values: pd.Series, task: Task, positive: Any) -> list[str]:
    positions, texts = distinct_texts(values)
    _require(values, positions >= 0)
    names = _in_order(texts)
    if len(names) == 1:
        raise ValueError(f"the target {values.name!r} is {names[0]!r} in every training row: there is nothing to learn")
    if task == "binary" and len(names) > 2:
        raise ValueError(
            f"task=binary needs a target of two values, {values.name!r} has {len(names)}: {_some(names)}; "
            "choose task=multiclass or regression"
        )
    if positive is None:
        return names
    if category_text(positive) not in names:
        raise ValueError(f"datamodule.positive must be {names[0]!r} or {names[1]!r}, got {positive!r}")
    return sorted(names, key=category_text(positive).__eq__)


def _in_order(names: list[str]) -> list[str]:
    try:
        return sorted(names, key=lambda name: (float(name), name))
    except ValueError:
        return sorted(names, key=lambda name: (name.casefold(), name))


def _some(names: list[str]) -> str:
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")


def _require(values: pd.Series, present: np.ndarray) -> None:
    if not present.all():
        raise ValueError(
            f"the target {values.name!r} is missing in {np.count_nonzero(~present):,} of {len(values):,} rows, first "
            f"in {row_label(values, int(present.argmin()))}; leave such rows out of the table"
        )


def _statistics(values: pd.Series, scaling: TargetScaling) -> dict[str, float]:
    numbers = _numbers(values, scaling)
    if scaling != "none":
        return mean_and_std(numbers)
    if np.spacing(np.float32(np.abs(numbers).max())) > 1e-2 * numbers.std() > 0:
        raise ValueError(
            f"target_scaling=none cannot learn {values.name!r}, from {numbers.min():.15g} to {numbers.max():.15g}: a "
            "net computes with 7 digits; choose target_scaling=standardise"
        )
    return {"mean": 0.0, "std": 1.0}


def _numbers(values: pd.Series, scaling: str) -> np.ndarray:
    """Return the numbers to standardise: the targets or, for a logarithmic scaling, their logarithms."""
    numbers = read_numbers(values)
    _require(values, ~np.isnan(numbers))
    if scaling not in FORWARD:
        return numbers
    low = numbers <= ABOVE[scaling]
    if low.any():
        row = int(low.argmax())
        raise ValueError(
            f"target_scaling={scaling} needs targets above {ABOVE[scaling]:g}: {values.name!r} is {numbers[row]:g} in "
            f"{row_label(values, row)}; leave such rows out, or choose {'log1p' if scaling == 'log' else 'standardise'}"
        )
    return FORWARD[scaling](numbers)


def encode_target(columns: list[pd.Series], fitted: dict[str, Any]) -> np.ndarray:
    """Return class numbers, int64 (rows,), or scaled values, float32 (rows, targets).

    Raises ValueError for a missing target, a class that the training rows lack, or a value without a logarithm.
    """
    if "class_names" in fitted:
        return _class_numbers(columns[0], fitted["class_names"])
    numbers = np.stack([_numbers(column, fitted["kind"]) for column in columns], axis=1)
    return ((numbers - fitted["mean"]) / fitted["std"]).astype(np.float32)


def _class_numbers(values: pd.Series, names: list[str]) -> np.ndarray:
    positions, texts = distinct_texts(values)
    _require(values, positions >= 0)
    spellings = Spellings(names, had_missing=True)
    numbers = np.array([spellings.code(text) - FIRST_KNOWN for text in texts], dtype=np.int64)
    if (numbers < 0).any():
        row = int((numbers < 0)[positions].argmax())
        value = texts[positions[row]]
        raise ValueError(
            f"the target {values.name!r} is {value!r} in {row_label(values, row)}, a class that the training rows "
            f"lack{did_you_mean(value, names)}; they have {_some(names)}"
        )
    return numbers[positions]


def decode_target(values: np.ndarray, fitted: dict[str, Any]) -> np.ndarray:
    """Return the class names of class numbers, or scaled values in original units, float64."""
    if "class_names" in fitted:
        return np.array(fitted["class_names"], dtype=object)[values]
    numbers = np.asarray(values, dtype=np.float64) * fitted["std"] + fitted["mean"]
    return INVERSE[fitted["kind"]](numbers) if fitted["kind"] in INVERSE else numbers
