"""Reads metrics.csv, which a kill may have cut off and which may come from anyone."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from src.core.errors import ConfigError, first_line


def logged_numbers(path: Path, names: Collection[str] | None = None) -> pd.DataFrame:
    """The columns of a metrics.csv as numbers, NaN where there is none; only `step` if the run has logged nothing yet.

    Args:
        path: the file.
        names: the columns to read, of those that exist; None: all.

    Raises:
        ConfigError: the file is not a table with a column `step`.
    """
    if not path.is_file() or not path.stat().st_size:
        return pd.DataFrame({"step": []})
    wanted = None if names is None else lambda name: name in names
    try:
        table: Any = pd.read_csv(path, usecols=wanted, encoding_errors="replace")  # pyright: ignore[reportArgumentType]
        table = table.apply(pd.to_numeric, errors="coerce").astype(float).replace([np.inf, -np.inf], np.nan)
    except (ValueError, OverflowError) as error:  # pandas' own errors are ValueErrors
        raise ConfigError(f"{path} is not a table of numbers: {first_line(error)}") from None
    if "step" not in table:
        raise ConfigError(f"{path} is not what a run has logged: it has no column step")
    table = table[table["step"].abs() < 2**53]  # false for NaN, too
    return table.astype({"step": int})
