"""Scales the numbers of a column, and fills and flags the missing ones."""

from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from scipy.special import ndtri

from src.datamodules.tables.checks import place

Scaling = Literal["standardise", "quantile"]
NUM_QUANTILES = 1000
LARGEST = np.finfo(np.float32).max
SMALLEST_CHANCE = 1e-7  # of the quantile scaling: values end at 5.2 deviations


def check_scaling(scaling: Scaling) -> Scaling:
    """Raises ValueError for another name."""
    if scaling not in get_args(Scaling):
        raise ValueError(f"datamodule.continuous_scaling must be standardise or quantile, got {scaling}")
    return scaling


def read_numbers(values: pd.Series) -> np.ndarray:
    """A column as float64, NaN where it is missing or blank; numbers may be text ("12.5").

    Raises ValueError for anything else, for infinite numbers, and for those that float32 cannot hold.
    """
    if pd.api.types.is_numeric_dtype(values):
        numbers = values.to_numpy(np.float64, na_value=np.nan)
    else:
        numbers = _read_text(values)
    _refuse(values, np.abs(numbers) > LARGEST)
    return numbers


def _read_text(values: pd.Series) -> np.ndarray:
    objects = values.astype(object)  # else dates would become nanoseconds
    numbers = pd.Series(pd.to_numeric(objects, errors="coerce")).to_numpy(np.float64, na_value=np.nan)
    wrong = np.isnan(numbers) & values.notna().to_numpy()
    wrong[wrong] = [str(value).strip() != "" for value in objects[wrong]]
    _refuse(values, wrong)
    return numbers


def _refuse(values: pd.Series, wrong: np.ndarray) -> None:
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"the column {values.name!r} must hold finite numbers: {place(values, row)} has {str(values.iloc[row])!r}; "
            "correct it or, if this is an input, leave it empty or name the column under categorical"
        )


def fit_continuous(values: pd.Series, scaling: Scaling) -> dict[str, Any]:
    """What `encode_continuous` needs: the median, whether any are missing, and mean and std or quantiles.

    Raises ValueError if there is no number in the column.
    """
    numbers = read_numbers(values)
    present = numbers[~np.isnan(numbers)]
    if not len(present):
        raise ValueError(f"the continuous column {values.name!r} has no number in the training rows; leave it out")
    fitted = {"median": float(np.median(present)), "missing": len(present) < len(numbers)}
    if scaling == "quantile":
        chances = np.linspace(0, 1, min(NUM_QUANTILES, max(2, len(present))))
        return fitted | {"quantiles": np.quantile(present, chances).tolist()}
    return fitted | mean_and_std(present)


def mean_and_std(numbers: np.ndarray) -> dict[str, float]:
    """The mean and the deviation of numbers; 1 is the deviation of those that are all the same."""
    if numbers.min() == numbers.max():  # rounding would give them a deviation
        return {"mean": float(numbers[0]), "std": 1.0}
    return {"mean": float(numbers.mean()), "std": float(numbers.std()) or 1.0}


def encode_continuous(values: pd.Series, fitted: dict[str, Any]) -> list[np.ndarray]:
    """The scaled numbers, the training median where missing; then, if the training rows lacked any, 1 where missing.

    float32 (rows,), finite. A number that is missing where training had them all gets the median and no flag.
    """
    numbers = read_numbers(values)
    missing = np.isnan(numbers)
    numbers = np.where(missing, fitted["median"], numbers)
    if "quantiles" in fitted:
        scaled = _to_normal(numbers, np.array(fitted["quantiles"]))
    else:
        scaled = (numbers - fitted["mean"]) / fitted["std"]
    columns = [np.clip(scaled, -LARGEST, LARGEST).astype(np.float32)]
    return [*columns, missing.astype(np.float32)] if fitted["missing"] else columns


def _to_normal(numbers: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Numbers of any distribution to a normal one, by their rank; many equal ones to the middle of their ranks.

    As scikit-learn's QuantileTransformer, but that equal ones at either end get the middle of their ranks, too, where
    there they get 5.2 deviations: a column that is zero in half the rows.
    """
    chances = np.linspace(0, 1, len(quantiles))
    up = np.interp(numbers, quantiles, chances)
    down = -np.interp(-numbers, -quantiles[::-1], -chances[::-1])
    return ndtri(np.clip((up + down) / 2, SMALLEST_CHANCE, 1 - SMALLEST_CHANCE))
