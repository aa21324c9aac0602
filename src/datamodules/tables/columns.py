"""Chooses what each column of a table is for: a category, a number, a date, or nothing."""

import re
from collections.abc import Collection
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from src.datamodules.tables.categories import distinct_texts
from src.datamodules.tables.cells import MARKS, NUMBER
from src.datamodules.tables.dates import are_dates

MAX_CATEGORIES = 20  # different whole numbers; if there are more, they count as quantities
MIN_ROWS_PER_CATEGORY = 5  # on average; with fewer, whole numbers count as quantities
MAX_DIFFERENT = 0.95  # share of the texts that differ; if it is larger, they name the rows
MANY = 1000  # texts, of which few repeat, are no categories
FREE_TEXTS, WORDS = 0.2, 3  # share of the texts that differ, and their mean words, from which they are sentences
DENSE = 1.7  # different numbers of rows within so many times their count number them: others are in other splits
IN_STEP = 0.95  # share of the rows from one to the next of which a number counts them
# `Clothing ID`, `store_id`, `zip code`; `paid` and `Humid` are no ids.
NAMES_THINGS = re.compile(r"(^|[^a-z])(id|code|zip|zipcode|postcode|sku)s?($|[^a-z])|[a-z](ID|Id|Code)s?($|[^a-z])")
OTHER_DATE = re.compile(r"(?!\d{4}-)\d{1,4}([-/.])\d{1,2}\1\d{1,4}\b")  # 31.1.2013, 1/31/13 00:00
INDEX = re.compile(r"Unnamed: \d+(\.\d+)*|index|level_\d+|rownames", re.IGNORECASE)  # as pandas and R write one

Kind = Literal["categorical", "continuous", "dates", "left out"]


class Decision(NamedTuple):
    """What a column is for, and why."""

    column: str
    kind: Kind
    reason: str

    @property
    def names_rows(self) -> bool:
        """Whether the column numbers or names the rows."""
        return self.kind == "left out" and self.reason.endswith(("numbers the rows", "names the rows"))


def choose_columns(frame: pd.DataFrame, apart: Collection[str], date_format: str | None) -> list[Decision]:
    """Decide for each column of the training rows, except those `apart`: the target, and what the user has named.

    Args:
        frame: the training rows; their index numbers them in the table.
        apart: columns to leave alone.
        date_format: of dates that are text; None means ISO 8601.
    """
    return [Decision(str(n), *_choose(values, date_format)) for n, values in frame.items() if n not in apart]


def _choose(values: pd.Series, date_format: str | None) -> tuple[Kind, str]:
    if values.isna().all():
        return "left out", "empty"
    if pd.api.types.is_datetime64_any_dtype(values):
        return "dates", "dates"
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        return _choose_number(values)
    return _choose_text(values, date_format)


def _choose_number(values: pd.Series) -> tuple[Kind, str]:
    present = values.dropna().to_numpy(np.float64)
    different = np.unique(present)
    size = len(different)
    if size == 1 and len(present) == len(values):
        return "left out", f"always {different[0]:g}"
    if not np.isfinite(different).all() or (different % 1).any():
        return "continuous", "numbers with fractions"
    if len(present) == len(values) and _numbers_rows(values, different):
        return "left out", "numbers the rows"
    is_name = _names_things(str(values.name))
    if size * MIN_ROWS_PER_CATEGORY <= len(present) and (is_name or size <= MAX_CATEGORIES):
        if is_name or not _is_ordered(different):
            return "categorical", f"{size:,} different whole numbers"
        return "continuous", f"{size} whole numbers in a row, as of counts"
    if is_name:
        return "left out", f"{size:,} different whole numbers in {len(present):,} rows: names the rows"
    return "continuous", f"{size:,} different whole numbers; if they name things: categorical"


def _numbers_rows(values: pd.Series, different: np.ndarray) -> bool:
    """Whether a column counts the rows, also if some rows went to other splits, or several files have been counted."""
    size, count = len(different), len(values)
    if size == count and (INDEX.fullmatch(str(values.name)) or different[-1] - different[0] < DENSE * count):
        return count >= MIN_ROWS_PER_CATEGORY
    if 2 * size < count or count < MAX_CATEGORIES or not pd.api.types.is_integer_dtype(values.index):
        return False
    steps, rows = np.diff(values.to_numpy(np.float64)), np.diff(values.index.to_numpy(np.float64))
    return bool(max(np.mean(steps == rows), np.mean(steps == -rows)) > IN_STEP)


def _names_things(name: str) -> bool:
    return bool(NAMES_THINGS.search(name) or NAMES_THINGS.search(name.lower()))


def _is_ordered(different: np.ndarray) -> bool:
    """Whether whole numbers look like counts or grades rather than codes.

    Counts and pixels begin at 0, and have more than two values. Grades, years and the like follow one another from
    another number than 1. Codes are numbered from 1, or have gaps.
    """
    if different[0] == 0:
        return len(different) > 2 or different[-1] > 1
    return len(different) > 2 and different[0] != 1 and different[-1] - different[0] == len(different) - 1


def _choose_text(values: pd.Series, date_format: str | None) -> tuple[Kind, str]:
    rows, texts = distinct_texts(values)
    present = np.count_nonzero(rows >= 0)
    if len(texts) == 1 and present == len(values):
        return "left out", f"always {texts[0]}"
    if are_dates(texts, date_format):
        return "dates", f"text such as {texts[0]}"
    if len(texts) > MAX_CATEGORIES and _are_fractions(texts):
        return "continuous", "numbers with fractions, as text"
    if all(OTHER_DATE.match(text) for text in texts[:MANY]):
        return "left out", f"text such as {texts[0]}: of dates in another form, datamodule.date_format tells which"
    found = f"{len(texts):,} different texts in {present:,} rows"
    words = np.mean([len(text.split()) for text in texts[:MANY]])
    if len(texts) > max(FREE_TEXTS * present, MAX_CATEGORIES) and words >= WORDS:
        return "left out", f"{found}: free text"
    if len(texts) > MAX_DIFFERENT * present:
        return "left out", f"{found}: names the rows"
    if len(texts) > MANY and len(texts) * MIN_ROWS_PER_CATEGORY > present:
        return "left out", f"{found}: too rare to learn"
    return "categorical", f"{len(texts):,} different values"


def _are_fractions(texts: list[str]) -> bool:
    """Whether texts are numbers, not all of them whole, which may be codes; marks of missing ones do not count."""
    present = [text.strip() for text in texts if text not in MARKS]
    return all(map(NUMBER.fullmatch, present)) and not all(text.isdecimal() for text in present)
