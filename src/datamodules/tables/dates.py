"""Splits dates into parts: year, month, day of week and so on as categories, elapsed days as a number."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from src.datamodules.tables.categories import distinct_texts
from src.datamodules.tables.checks import did_you_mean, row_label

CATEGORY_PARTS: dict[str, Callable[[pd.DatetimeIndex], Any]] = {
    "year": lambda times: times.year,
    "month": lambda times: times.month,
    "week": lambda times: times.isocalendar().week,
    "day": lambda times: times.day,
    "day_of_week": lambda times: times.day_of_week,  # Monday is 0
    "day_of_year": lambda times: times.day_of_year,
    "hour": lambda times: times.hour,
    "is_month_start": lambda times: times.is_month_start,
    "is_month_end": lambda times: times.is_month_end,
    "is_quarter_start": lambda times: times.is_quarter_start,
    "is_quarter_end": lambda times: times.is_quarter_end,
    "is_year_start": lambda times: times.is_year_start,
    "is_year_end": lambda times: times.is_year_end,
}
CONTINUOUS_PARTS: dict[str, Callable[[pd.DatetimeIndex], Any]] = {
    "elapsed": lambda times: times.as_unit("us").asi8 / 86_400e6,  # days since 1970
}
PARTS = CATEGORY_PARTS | CONTINUOUS_PARTS


def check_parts(parts: list[str]) -> None:
    """Raise ValueError if a part is not in PARTS or is named twice."""
    for part in parts:
        if part not in PARTS:
            raise ValueError(f"there is no date part {part!r}{did_you_mean(part, PARTS)}; there are {', '.join(PARTS)}")
    if len(set(parts)) < len(parts):
        raise ValueError(f"datamodule.date_parts must name each part once, got {', '.join(parts)}")


def part_name(column: str, part: str) -> str:
    """Return the name of the column that holds this part of a date."""
    return f"{column}_{part}"


def split_dates(values: pd.Series, parts: list[str], date_format: str | None) -> Iterator[pd.Series]:
    """Yield each part of a column of dates: floats named COLUMN_PART, NaN where the date is missing.

    Args:
        values: the dates; times with a zone are converted to UTC.
        parts: names in PARTS.
        date_format: of dates that are text, as for strptime; None means ISO 8601 (2013-01-31, 20130131,
            2013-01-31T17:05).

    Raises:
        ValueError: if a value is not a date.
    """
    rows, times = _distinct_times(values, date_format)
    for part in parts:
        found = np.append(np.asarray(PARTS[part](times), dtype=np.float64), np.nan)
        yield pd.Series(found[rows], index=values.index, name=part_name(str(values.name), part))


def _distinct_times(values: pd.Series, date_format: str | None) -> tuple[np.ndarray, pd.DatetimeIndex]:
    if pd.api.types.is_datetime64_any_dtype(values):
        rows, found = pd.factorize(values)
        return rows, pd.DatetimeIndex(found).tz_convert(None) if values.dt.tz else pd.DatetimeIndex(found)
    rows, texts = distinct_texts(values)
    times = parse_times(texts, date_format)
    if times.hasnans:
        row = int(np.flatnonzero(np.isin(rows, np.flatnonzero(times.isna())))[0])
        raise ValueError(
            f"the date column {values.name!r} must hold dates such as {date_format or '2013-01-31'}: "
            f"{row_label(values, row)} has {texts[rows[row]]!r}; leave it empty, or set datamodule.date_format"
        )
    return rows, times


def parse_times(texts: list[str], date_format: str | None) -> pd.DatetimeIndex:
    """Return the times that texts name, NaT for a text that is not a time."""
    if date_format is None:  # pandas also accepts "now" and "today"
        texts = [text if text[:1].isdigit() else "" for text in texts]
    times = pd.to_datetime(pd.Index(texts, dtype=object), format=date_format or "ISO8601", errors="coerce", utc=True)
    return times.tz_convert(None)
