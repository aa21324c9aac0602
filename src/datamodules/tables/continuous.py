"""Scales the numbers of a column, within their range in training; fills and flags missing ones."""

from contextlib import suppress
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import compute
from scipy.special import ndtri

from src.datamodules.tables.cells import number
from src.datamodules.tables.checks import row_label

pc: Any = compute  # which makes its functions when it is imported
Scaling = Literal["standardise", "quantile"]
NUM_QUANTILES = 1000
MAX_NUMBER = np.finfo(np.float32).max
MIN_PROBABILITY = 1e-7  # of the quantile scaling: scaled values end at 5.2 deviations


def check_scaling(scaling: Scaling) -> None:
    """Raise ValueError for another name."""
    if scaling not in get_args(Scaling):
        raise ValueError(f"datamodule.continuous_scaling must be standardise or quantile, got {scaling}")


def read_numbers(values: pd.Series) -> np.ndarray:
    """Return a column as float64, NaN where it is missing; numbers may be text ("12.5"), see `cells.number`.

    Raises ValueError for anything else, and for numbers that are infinite or too large for float32.
    """
    if pd.api.types.is_numeric_dtype(values):
        numbers = values.to_numpy(np.float64, na_value=np.nan)
    else:
        numbers = _read_text(values)
    _refuse(values, np.abs(numbers) > MAX_NUMBER)
    return numbers


def _read_text(values: pd.Series) -> np.ndarray:
    if isinstance(values.dtype, pd.StringDtype):
        with suppress(pa.ArrowInvalid):  # a cast reads many numbers at once, the same as `number` does
            return pc.cast(pc.utf8_trim_whitespace(pa.array(values)), pa.float64()).to_numpy(zero_copy_only=False)
    rows, found = pd.factorize(values.astype(object).map(str))
    numbers = np.empty(len(found))
    for place, value in enumerate(found):
        try:
            numbers[place] = number(value)
        except ValueError:
            _refuse(values, rows == place)
    return numbers[rows]


def _refuse(values: pd.Series, wrong: np.ndarray) -> None:
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"the column {values.name!r} must hold finite numbers: {row_label(values, row)} has "
            f"{str(values.iloc[row])!r}; "
            "correct it or, if this is an input, leave it empty or name the column under categorical"
        )


def fit_continuous(values: pd.Series, scaling: Scaling, clip: bool) -> dict[str, Any]:
    """Return what `encode_continuous` needs: median, range, whether any are missing, and mean and std or quantiles.

    A constant column is clipped in any case: training says nothing about other numbers.

    Raises ValueError if the column has no number.
    """
    numbers = read_numbers(values)
    present = numbers[~np.isnan(numbers)]
    if not len(present):
        raise ValueError(f"the continuous column {values.name!r} has no number in the training rows; leave it out")
    fitted: dict[str, Any] = {"median": float(np.median(present)), "missing": len(present) < len(numbers)}
    fitted["missing_share"] = 1 - len(present) / len(numbers)
    if _is_constant(present):
        fitted |= {"range": [fitted["median"]] * 2, "clip": True}
    else:
        fitted |= {"range": [float(present.min()), float(present.max())], "clip": clip}
    if scaling == "quantile":
        probabilities = np.linspace(0, 1, min(NUM_QUANTILES, max(2, len(present))))
        return fitted | {"quantiles": np.quantile(present, probabilities).tolist()}
    return fitted | mean_and_std(present)


def mean_and_std(numbers: np.ndarray) -> dict[str, float]:
    """Return the mean and the standard deviation of numbers; 1 is the deviation if they are all the same."""
    if _is_constant(numbers):
        return {"mean": float(numbers[0]), "std": 1.0}
    return {"mean": float(numbers.mean()), "std": float(numbers.std()) or 1.0}


def _is_constant(numbers: np.ndarray) -> bool:
    """Whether all numbers are the same, or differ only by the rounding of a computation."""
    low, high = numbers.min(), numbers.max()
    return bool(high - low <= 4 * np.finfo(np.float64).eps * max(abs(low), abs(high)))


def encode_continuous(values: pd.Series, fitted: dict[str, Any]) -> list[np.ndarray]:
    """Scale numbers, with the training median in place of missing ones.

    Returns:
        One float32 column (rows,), finite. If numbers were missing in training, also a column that is 1 where a number
        is missing and 0 elsewhere.
    """
    numbers = read_numbers(values)
    missing = np.isnan(numbers)
    numbers = np.where(missing, fitted["median"], numbers)
    if fitted.get("clip"):  # older checkpoints have no range
        numbers = np.clip(numbers, *fitted["range"])
    if "quantiles" in fitted:
        scaled = _to_normal(numbers, np.array(fitted["quantiles"]))
    else:
        scaled = (numbers - fitted["mean"]) / fitted["std"]
    columns = [np.clip(scaled, -MAX_NUMBER, MAX_NUMBER).astype(np.float32)]
    return [*columns, missing.astype(np.float32)] if fitted["missing"] else columns


def outside(values: pd.Series, fitted: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return which rows have a number outside the range of the training rows, and which have none, bool (rows,).

    Older checkpoints know no range, and no such rows.
    """
    low, high = fitted.get("range", (-np.inf, np.inf))
    numbers = read_numbers(values)
    return (numbers < low) | (numbers > high), np.isnan(numbers)


def _to_normal(numbers: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Map numbers of any distribution to a normal one, by rank; equal numbers get the middle of their ranks.

    This is scikit-learn's QuantileTransformer with one difference. There, equal numbers at either end get 5.2
    deviations; here they also get the middle of their ranks. Think of a column that is zero in half of its rows.
    """
    probabilities = np.linspace(0, 1, len(quantiles))
    up = np.interp(numbers, quantiles, probabilities)
    down = -np.interp(-numbers, -quantiles[::-1], -probabilities[::-1])
    return ndtri(np.clip((up + down) / 2, MIN_PROBABILITY, 1 - MIN_PROBABILITY))
