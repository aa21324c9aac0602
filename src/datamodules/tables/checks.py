"""Finds the columns of a table, and says where it is not as it must be."""

import difflib
from collections.abc import Iterable, Sequence

import pandas as pd


def columns_of(frame: pd.DataFrame, names: Sequence[str]) -> list[pd.Series]:
    """The columns of these names. Raises ValueError unless the table has each of them, once."""
    missing = [name for name in names if name not in frame.columns]
    if missing:
        others = "" if len(missing) == 1 else f"; {', '.join(map(repr, missing[1:]))} neither"
        raise ValueError(
            f"the table has no column {missing[0]!r}{nearest(missing[0], frame.columns)}{others}; "
            f"it has {', '.join(map(str, frame.columns))}"
        )
    repeated = [name for name in names if list(frame.columns).count(name) > 1]
    if repeated:
        raise ValueError(f"the table has more than one column {repeated[0]!r}; name each column differently")
    return [pd.Series(frame[name]) for name in names]


def nearest(word: str, known: Iterable[object]) -> str:
    """`; did you mean 'X'?` for the known word most like this one, whatever its case, or nothing if none is like it."""
    names = {str(name).casefold(): str(name) for name in known}
    match = difflib.get_close_matches(str(word).casefold(), names, n=1)
    return f"; did you mean {names[match[0]]!r}?" if match else ""


def place(values: pd.Series, position: int) -> str:
    """`row 7` by the table's index; where the index has a name, that says what it counts: `line 9`."""
    return f"{values.index.name or 'row'} {values.index[position]}"
