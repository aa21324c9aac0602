"""Gives the values of a categorical column their codes: 0 is missing, 1 is unknown, the known ones begin at 2."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from src.datamodules.tables.cells import Spellings, category_text, is_missing

UNNAMED = ["<missing>", "<unknown>"]


def fit_categories(values: pd.Series, min_freq: int) -> list[str]:
    """Return the texts that get a code: the most frequent first, equally frequent ones in Unicode's order.

    Texts that occur fewer than `min_freq` times are left out: they are unknown, already in training.
    """
    positions, texts = distinct_texts(values)
    counts = np.bincount(positions[positions >= 0], minlength=len(texts)).tolist()
    kept = [(-count, text) for count, text in zip(counts, texts, strict=True) if count >= min_freq]
    return [text for _, text in sorted(kept)]


def encode_categories(values: pd.Series, known: list[str], *, had_missing: bool | None) -> np.ndarray:
    """Return the codes, int64 (rows,), below len(known) + 2; every value has one. See `Spellings`."""
    spellings = Spellings(known, had_missing=had_missing)
    positions, texts = distinct_texts(values)
    return np.array([*map(spellings.code, texts), spellings.missing])[positions]


def distinct_texts(values: pd.Series) -> tuple[np.ndarray, list[str]]:
    """Return the different texts of a column, and for each row the position of its text, -1 if it is missing.

    None, NaN, NaT, NA and blank text are missing. Other values are compared by `category_text`, whatever the type
    of the column.

    Returns:
        The positions, int (rows,), and the texts.
    """
    if values.dtype == object and pd.api.types.infer_dtype(values).startswith("mixed"):
        values = values.map(category_text, na_action="ignore")  # to pandas, True and 1 are one value
    rows, found = pd.factorize(values)
    spelled = [None if is_missing(value) else category_text(value) for value in _scalars(found)]
    merged, texts = pd.factorize(np.array(spelled, dtype=object))
    return np.append(merged, -1)[rows], texts.tolist()


def _scalars(found: Any) -> Iterable[Any]:
    # pandas would return a float32 of 0.1 as 0.10000000149011612
    return np.asarray(found) if pd.api.types.is_float_dtype(found) else found


def is_text(values: pd.Series) -> bool:
    """Whether a column holds text, plain or as pandas categories."""
    found = values.cat.categories if isinstance(values.dtype, pd.CategoricalDtype) else values
    return pd.api.types.infer_dtype(found) == "string"
