"""Finds the columns of a table, and names the columns and rows that are wrong."""

import difflib
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd


def get_columns(frame: pd.DataFrame, names: Sequence[str]) -> list[pd.Series]:
    """Return the columns of these names. Raises ValueError unless the table has each of them exactly once."""
    counts = Counter(frame.columns)
    missing = [name for name in names if not counts[name]]
    if missing:
        others = "" if len(missing) == 1 else f"; it also lacks {', '.join(map(repr, missing[1:]))}"
        raise ValueError(
            f"the table has no column {missing[0]!r}{did_you_mean(missing[0], frame.columns)}{others}; "
            f"it has {', '.join(map(str, frame.columns))}"
        )
    repeated = [name for name in names if counts[name] > 1]
    if repeated:
        raise ValueError(f"the table has more than one column {repeated[0]!r}; name each column differently")
    return [pd.Series(frame[name]) for name in names]


def are_complete(frame: pd.DataFrame, names: Sequence[str]) -> np.ndarray:
    """Return which rows have a value in each of these columns, bool (rows,)."""
    return ~np.logical_or.reduce([column.isna() for column in get_columns(frame, names)])


def rows_with_target(frame: pd.DataFrame, names: Sequence[str], on_missing: str) -> pd.DataFrame:
    """Return the rows that have all targets. Raises ValueError if some lack one, unless `on_missing` is "drop"."""
    complete = are_complete(frame, names)
    if complete.all():
        return frame
    if on_missing == "raise":
        raise ValueError(
            f"{np.count_nonzero(~complete):,} of {len(frame):,} rows have no {' or '.join(names)}, such as "
            f"{row_label(get_columns(frame, names)[0], int(complete.argmin()))}; set datamodule.on_missing_target=drop"
        )
    return frame.loc[complete]


def did_you_mean(word: str, known: Iterable[object]) -> str:
    """Return `; did you mean 'X'?` for the most similar known word in any case, or "" if none is similar."""
    names = {str(name).casefold(): str(name) for name in known}
    match = difflib.get_close_matches(str(word).casefold(), names, n=1)
    return f"; did you mean {names[match[0]]!r}?" if match else ""


def row_label(values: pd.Series, position: int) -> str:
    """Return `row 7`, by the table's index; the name of the index, if it has one, says what it counts: `line 9`."""
    return f"{values.index.name or 'row'} {values.index[position]}"
