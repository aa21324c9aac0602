"""Finds columns that alone give the target away: often they are known only when the target is."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from src.datamodules.tables.categories import distinct_texts

MAX_ROWS = 4000  # that are looked at
MIN_ROWS = 50
NUM_BINS = 64
NEAR_PERFECT = 0.97  # the share of the error of a constant that is gone


def giveaways(
    frame: pd.DataFrame, columns: Iterable[str], target: pd.Series, is_class: bool
) -> list[tuple[str, float]]:
    """Return the columns from which a table of means predicts the target nearly without error, the best first.

    The means, or the most frequent classes, of each value or each of 64 bins are learned from every other row, and
    score on the rows between.

    Args:
        frame: training rows, in any order.
        columns: their names; columns of dates are not among them.
        target: (rows,).
        is_class: whether the target is a class.

    Returns:
        Names, and the share of the wrong classes or of the variance that is explained.
    """
    chosen = np.random.default_rng(0).permutation(len(frame))[:MAX_ROWS]
    if len(chosen) < MIN_ROWS:
        return []
    rows = target.iloc[chosen]
    truth = np.eye(int((codes := distinct_texts(rows)[0]).max()) + 1)[codes] if is_class else _numbers(rows)[:, None]
    scores = {str(name): _score(_bins(pd.Series(frame[name]).iloc[chosen]), truth, is_class) for name in columns}
    return sorted(((n, score) for n, score in scores.items() if score >= NEAR_PERFECT), key=lambda pair: -pair[1])


def _bins(values: pd.Series) -> np.ndarray:
    """Return a number from 0 for each value, or for each bin with equally many of many numbers; 0 is missing."""
    is_number = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    codes = pd.factorize(_numbers(values))[0] if is_number else distinct_texts(values)[0]
    if not is_number or codes.max() < NUM_BINS:
        return codes + 1
    numbers = _numbers(values)
    edges = np.nanquantile(numbers[::2], np.linspace(0, 1, NUM_BINS + 1)[1:-1])
    return np.where(np.isnan(numbers), 0, 1 + np.searchsorted(edges, numbers))


def _numbers(values: pd.Series) -> np.ndarray:
    return pd.Series(pd.to_numeric(values, errors="coerce")).to_numpy(np.float64, na_value=np.nan)


def _score(bins: np.ndarray, truth: np.ndarray, is_class: bool) -> float:
    """Return 1 - error / error of a constant."""
    learned, size = truth[::2], int(bins.max()) + 1
    sums = np.stack([np.bincount(bins[::2], weights=column, minlength=size) for column in learned.T], 1)
    counts = np.bincount(bins[::2], minlength=size)[:, None]
    constant = learned.mean(0)
    guesses = np.where(counts > 0, sums / np.maximum(counts, 1), constant)[bins[1::2]]
    error, before = (
        _error(guess, truth[1::2], is_class) for guess in (guesses, np.broadcast_to(constant, guesses.shape))
    )
    # Rare classes and targets that are all the same say nothing.
    return 1 - error / before if before > (0.02 if is_class else 0) else 0.0


def _error(guesses: np.ndarray, truth: np.ndarray, is_class: bool) -> float:
    if is_class:
        return float((guesses.argmax(1) != truth.argmax(1)).mean())
    return float(np.nanmean((guesses - truth) ** 2))
