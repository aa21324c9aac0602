"""Gives the values of a categorical column their codes: 0 is missing, 1 is unknown, the known ones begin at 2."""

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

MISSING, UNKNOWN, FIRST_KNOWN = 0, 1, 2
UNNAMED = ["<missing>", "<unknown>"]
WHOLE = re.compile(r"(-?\d+)\.0+")


def fit_categories(values: pd.Series, min_freq: int) -> list[str]:
    """Return the texts that get a code: the most frequent first, equally frequent ones in Unicode's order.

    Texts that occur fewer than `min_freq` times are left out: they are unknown, already in training.
    """
    positions, texts = distinct_texts(values)
    counts = np.bincount(positions[positions >= 0], minlength=len(texts)).tolist()
    kept = [(-count, text) for count, text in zip(counts, texts, strict=True) if count >= min_freq]
    return [text for _, text in sorted(kept)]


def encode_categories(values: pd.Series, known: list[str]) -> np.ndarray:
    """Return the codes, int64 (rows,), below len(known) + 2; every value has one."""
    codes = {text: code for code, text in enumerate(known, FIRST_KNOWN)}
    positions, texts = distinct_texts(values)
    return np.array([*(codes.get(text, UNKNOWN) for text in texts), MISSING])[positions]


def distinct_texts(values: pd.Series) -> tuple[np.ndarray, list[str]]:
    """Return the different texts of a column, and for each row the position of its text, -1 if it is missing.

    None, NaN, NaT, NA and the empty text are missing. Other values are compared by `category_text`, whatever the type
    of the column.

    Returns:
        The positions, int (rows,), and the texts.
    """
    if values.dtype == object and pd.api.types.infer_dtype(values).startswith("mixed"):
        values = values.map(category_text, na_action="ignore")  # to pandas, True and 1 are one value
    rows, found = pd.factorize(values)
    merged, texts = pd.factorize(np.array([category_text(value) or None for value in _scalars(found)], dtype=object))
    return np.append(merged, -1)[rows], texts.tolist()


def _scalars(found: Any) -> Iterable[Any]:
    # pandas would return a float32 of 0.1 as 0.10000000149011612
    return np.asarray(found) if pd.api.types.is_float_dtype(found) else found


def is_text(values: pd.Series) -> bool:
    """Whether a column holds text, plain or as pandas categories."""
    found = values.cat.categories if isinstance(values.dtype, pd.CategoricalDtype) else values
    return pd.api.types.infer_dtype(found) == "string"


def category_text(value: Any) -> str:
    """Return the text that equal values share: 1, 1.0, "1" and "1.0" are "1"; True is "True"; 0.5 is "0.5".

    An integer column thus keeps its categories if a NaN, a file format or pandas turns it into floats, text, nullable
    integers or categories. Other text is unchanged: "01", " 1" and "1.50" do not count as numbers.
    """
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    text = str(value)
    whole = WHOLE.fullmatch(text)
    return whole[1] if whole else text
