"""Splits dates into parts: year, month, day of week and so on as categories, elapsed days as a number."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from src.datamodules.tables.categories import distinct_texts
from src.datamodules.tables.cells import MARKS, moment
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
ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d")
ZONE = re.compile(r":\d\d(\.\d+)? ?(Z|[+-]\d\d:?\d\d)$")
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


def split_dates(values: pd.Series, parts: list[str], date_format: str | None, *, utc: bool) -> Iterator[pd.Series]:
    """Yield each part of a column of dates: floats named COLUMN_PART, NaN where the date is missing.

    Args:
        values: the dates, of any type; `cells.moment` reads text.
        parts: names in PARTS.
        date_format: of dates that are text, as for strptime; None means ISO 8601 (2013-01-31, 20130131,
            2013-01-31T17:05).
        utc: times with a zone are turned into UTC; otherwise the clock time there counts.

    Raises:
        ValueError: if a value is not a date.
    """
    rows, times = _distinct_times(values, date_format, utc=utc)
    rows = np.where(np.append(times.isna(), True)[rows], -1, rows)
    for part in parts:
        found = np.append(np.asarray(PARTS[part](times), dtype=np.float64), np.nan)
        yield pd.Series(found[rows], index=values.index, name=part_name(str(values.name), part))


def _distinct_times(values: pd.Series, date_format: str | None, *, utc: bool) -> tuple[np.ndarray, pd.DatetimeIndex]:
    if pd.api.types.is_datetime64_any_dtype(values):
        rows, found = pd.factorize(values)
        times = pd.DatetimeIndex(found)
        return rows, times.tz_convert(None) if utc and times.tz else times.tz_localize(None)
    rows, texts = distinct_texts(values)
    times = []
    for place, text in enumerate(texts):
        try:
            times.append(moment(text, date_format, utc=utc))
        except (ValueError, OverflowError):
            row = int((rows == place).argmax())
            raise ValueError(
                f"the date column {values.name!r} must hold dates such as {date_format or '2013-01-31'}: "
                f"{row_label(values, row)} has {text!r}; leave it empty, or set datamodule.date_format"
            ) from None
    return rows, pd.DatetimeIndex(np.array(times, dtype="datetime64[us]"))


def are_dates(texts: list[str], date_format: str | None) -> bool:
    """Whether all texts name dates, apart from marks of missing values; without a format, as 2013-01-31 does."""
    present = [text for text in texts if text not in MARKS]
    if date_format is None and not all(ISO_DATE.match(text) for text in present):
        return False
    try:
        return len([moment(text, date_format, utc=False) for text in present]) > 0
    except (ValueError, OverflowError):
        return False


def have_zones(values: pd.Series) -> bool:
    """Whether times of a column have a zone, by their type or in their text."""
    if pd.api.types.is_datetime64_any_dtype(values):
        return isinstance(values.dtype, pd.DatetimeTZDtype)
    return any(map(ZONE.search, distinct_texts(values)[1]))
