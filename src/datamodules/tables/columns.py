"""Chooses what each column of a table is for: a category, a number, a date, or nothing."""

from collections.abc import Collection
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from rich.table import Table

from src.core.output import show_rich
from src.datamodules.tables.categories import distinct_texts
from src.datamodules.tables.dates import are_dates

MAX_CATEGORIES = 20  # different whole numbers; if there are more, they count as quantities
MIN_ROWS_PER_CATEGORY = 5  # on average; with fewer, whole numbers count as quantities
MAX_DIFFERENT = 0.95  # share of the texts that differ; if it is larger, they name the rows
WIDTH = 80  # characters


class Decision(NamedTuple):
    """What a column is for, and why."""

    column: str
    kind: Literal["categorical", "continuous", "dates", "left out"]
    reason: str


def choose_columns(frame: pd.DataFrame, apart: Collection[str], date_format: str | None) -> list[Decision]:
    """Decide for each column of the training rows, except those `apart`: the target, and what the user has named.

    Args:
        date_format: of dates that are text; None means ISO 8601.
    """
    return [_choose(values, date_format) for name, values in frame.items() if name not in apart]


def _choose(values: pd.Series, date_format: str | None) -> Decision:
    name = str(values.name)
    if values.isna().all():
        return Decision(name, "left out", "empty")
    if pd.api.types.is_datetime64_any_dtype(values):
        return Decision(name, "dates", "dates")
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        return _choose_number(name, values)
    return _choose_text(name, values, date_format)


def _choose_number(name: str, values: pd.Series) -> Decision:
    present = values.dropna().to_numpy(np.float64)
    different = np.unique(present)
    size = len(different)
    if size == 1 and len(present) == len(values):
        return Decision(name, "left out", f"always {different[0]:g}")
    if not np.isfinite(different).all() or (different % 1).any():
        return Decision(name, "continuous", "numbers with fractions")
    if size <= MAX_CATEGORIES and size * MIN_ROWS_PER_CATEGORY <= len(present):
        return Decision(name, "categorical", f"{size} different whole numbers")
    if size == len(values) and different[-1] - different[0] == size - 1:
        return Decision(name, "left out", "numbers the rows")
    return Decision(name, "continuous", f"{size:,} different whole numbers; if they name things: categorical")


def _choose_text(name: str, values: pd.Series, date_format: str | None) -> Decision:
    rows, texts = distinct_texts(values)
    present = np.count_nonzero(rows >= 0)
    if len(texts) == 1 and present == len(values):
        return Decision(name, "left out", f"always {texts[0]}")
    if are_dates(texts, date_format):
        return Decision(name, "dates", f"text such as {texts[0]}")
    if len(texts) > MAX_DIFFERENT * present:
        return Decision(name, "left out", f"{len(texts):,} different texts in {present:,} rows: names the rows")
    return Decision(name, "categorical", f"{len(texts):,} different values")


def show_decisions(decisions: list[Decision]) -> None:
    """Show what each column is used for, and why, within 80 characters."""
    table = Table("column", "is used as", "because of", title="columns chosen by auto")
    for decision in decisions:
        table.add_row(*decision)
    show_rich(table, width=WIDTH)
