"""Gives the values of a categorical column their codes: 0 is missing, 1 unknown, from 2 on the known ones."""

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

MISSING, UNKNOWN, FIRST_KNOWN = 0, 1, 2
UNNAMED = ["<missing>", "<unknown>"]
WHOLE = re.compile(r"(-?\d+)\.0+")


def fit_categories(values: pd.Series, min_freq: int) -> list[str]:
    """The texts that get a code: the most frequent first, equals in Unicode's order.

    min_freq: rarer ones are left out, hence unknown; so training sees unknown ones, too.
    """
    positions, texts = distinct_texts(values)
    counts = np.bincount(positions[positions >= 0], minlength=len(texts)).tolist()
    kept = [(-count, text) for count, text in zip(counts, texts, strict=True) if count >= min_freq]
    return [text for _, text in sorted(kept)]


def encode_categories(values: pd.Series, known: list[str]) -> np.ndarray:
    """Codes, int64 (rows,), below len(known) + 2. Any value has one."""
    codes = {text: code for code, text in enumerate(known, FIRST_KNOWN)}
    positions, texts = distinct_texts(values)
    return np.array([*(codes.get(text, UNKNOWN) for text in texts), MISSING])[positions]


def distinct_texts(values: pd.Series) -> tuple[np.ndarray, list[str]]:
    """For each row the position of its text among the different ones, -1 where it is missing; and those texts.

    None, NaN, NaT, NA and the empty text are missing. All else is compared by `text_of`, whatever the column's type.
    """
    if values.dtype == object and pd.api.types.infer_dtype(values).startswith("mixed"):
        values = values.map(text_of, na_action="ignore")  # to pandas, True and 1 are one value
    rows, found = pd.factorize(values)
    merged, texts = pd.factorize(np.array([text_of(value) or None for value in _scalars(found)], dtype=object))
    return np.append(merged, -1)[rows], texts.tolist()


def _scalars(found: Any) -> Iterable[Any]:
    # pandas would hand out a float32 of 0.1 as 0.10000000149011612
    return np.asarray(found) if pd.api.types.is_float_dtype(found) else found


def is_text(values: pd.Series) -> bool:
    """Whether a column holds text, as it is or as pandas' categories."""
    found = values.cat.categories if isinstance(values.dtype, pd.CategoricalDtype) else values
    return pd.api.types.infer_dtype(found) == "string"


def text_of(value: Any) -> str:
    """The text that values of one category share: 1, 1.0, "1" and "1.0" are "1"; True is "True"; 0.5 is "0.5".

    So an integer column is the same when one NaN, a file format or pandas has made it a column of floats, text,
    nullable integers or categories. Text is kept to the letter otherwise: "01", " 1" and "1.50" are no numbers.
    """
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    text = str(value)
    whole = WHOLE.fullmatch(text)
    return whole[1] if whole else text
