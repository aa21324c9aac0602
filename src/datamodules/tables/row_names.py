"""What names the rows that are tested: their place in the table, and its columns that name rows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from src.datamodules.tables.columns import Decision


def write_row_names(path: Path, table: pd.DataFrame, places: np.ndarray, decisions: Sequence[Decision]) -> None:
    """Write the numbers of rows in their table, from 1, beside the columns that "auto" took for names of rows.

    Args:
        path: of a Parquet file.
        table: that has the rows.
        places: of the rows in it.
        decisions: of "auto".
    """
    ids = [decision.column for decision in decisions if decision.names_rows and decision.column in table]
    columns = {name if name != "row" else "its row": table[name].iloc[places].astype(str).array for name in ids}
    pd.DataFrame({"row": places + 1, **columns}).to_parquet(path)


def read_row_names(path: Path) -> dict[str, Sequence[Any]]:
    """Read them: a list for each column, by its head."""
    return {str(head): values.tolist() for head, values in pd.read_parquet(path).items()}
