"""What a cell of a table means, one cell at a time, wherever the row comes from.

An exported model has a copy of this file, so it needs nothing but Python.
"""

import math
import re
from collections.abc import Hashable, Iterable
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from typing import Any

MISSING, UNKNOWN, FIRST_KNOWN = 0, 1, 2  # codes of a category
# What pandas, Arrow, R and databases write for a value that is missing. In a column of text these may also be words.
MARKS = frozenset(
    mark
    for name in (
        "NA",
        "N/A",
        "#N/A",
        "#N/A N/A",
        "#NA",
        "<NA>",
        "NaN",
        "-NaN",
        "NaT",
        "NULL",
        "None",
        "1.#IND",
        "1.#QNAN",
    )
    for mark in (name, name.lower(), name.upper())
) | {"-1.#IND", "-1.#QNAN"}
TRUTHS = {"true": 1.0, "false": 0.0}
MAX_DIGITS = 400  # Python refuses whole numbers of thousands of digits, and any of these is infinite as a float
WHOLE = re.compile(r"(-?\d+)\.0+")
NUMBER = re.compile(r"[+-]?(([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|inf|infinity)", re.IGNORECASE)
CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}(?:\.[0-9]+)?))?")
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:.*)?")
YEAR_OR_MONTH = re.compile(r"[0-9]{4}(-[0-9]{2})?")


def is_missing(value: Any) -> bool:
    """Whether a cell is None, NaN, NaT, NA or blank; the words "None" and "NA" are not."""
    return not value.strip() if isinstance(value, str | bytes) else str(value) in MARKS


def category_text(value: Any) -> str:
    """Return the text that equal values share: 1, 1.0, "1" and "1.0" are "1"; True is "True"; 0.5 is "0.5".

    Other text is unchanged: "01", " 1" and "1.50" are what they are. `Spellings` finds them a category all the same.
    """
    if not isinstance(value, bool) and getattr(value, "is_integer", bool)():
        return str(int(value))
    text = value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)
    whole = WHOLE.fullmatch(text)
    return whole[1] if whole else text


def number(value: Any) -> float:
    """Return the number in a cell, NaN if it is missing; true is 1. Raises ValueError for anything else."""
    text = str(value).strip()
    if text in MARKS or not text:
        return math.nan
    if text.lower() in TRUTHS:
        return TRUTHS[text.lower()]
    if not NUMBER.fullmatch(text):
        raise ValueError(f"not a number: {text!r}")
    return float(text)


def moment(value: Any, date_format: str | None, *, utc: bool) -> datetime | None:
    """Return the date and time in a cell, without a zone; None if it is missing. Raises ValueError for anything else.

    Args:
        value: the cell, such as 2013-01-31, 20130131 or 2013-01-31T17:05.
        date_format: as for strptime; None means ISO 8601.
        utc: a time with a zone is turned into UTC; otherwise the clock time there counts, and the zone is dropped.
    """
    text = str(value).strip()
    if text in MARKS or not text:
        return None
    if date_format is None and YEAR_OR_MONTH.fullmatch(text):
        text = f"{text}-01-01"[:10]
    found = datetime.fromisoformat(text) if date_format is None else datetime.strptime(text, date_format)
    offset = found.utcoffset() if utc else None
    return (found if offset is None else found - offset).replace(tzinfo=None)


class Spellings:
    """Finds the category of a cell among those of the training rows, however it is spelled.

    A cell has the category of its text. Failing that, it has the one that means the same: the same number ("0.50" and
    0.5), time of day ("07:30" and 07:30:00), date, truth ("true", True and 1 where the categories are truths), or words
    between blanks. A cell of no category is missing if it is blank or a mark such as NA, and otherwise unknown.

    Args:
        known: texts of the categories, which get the codes 2, 3 ...
        had_missing: whether training rows were missing; None if that is not known. If none was, but a mark is a
            category, a missing cell is that mark: pandas reads the words "None" and "NA" as missing.
    """

    def __init__(self, known: Iterable[str], *, had_missing: bool | None) -> None:
        self.codes = {text: code for code, text in enumerate(known, FIRST_KNOWN)}
        self.are_truths = {text.lower() for text in self.codes} <= {*TRUTHS} or {*self.codes} <= {"0", "1"}
        marks = [code for text, code in self.codes.items() if text in MARKS]
        self.missing = marks[0] if had_missing is False and len(marks) == 1 else MISSING

    def code(self, value: Any) -> int:
        """Return the code of a cell."""
        if not isinstance(value, str | bytes) and is_missing(value):
            return self.missing
        text = category_text(value)
        if text in self.codes:
            return self.codes[text]
        if not text.strip():
            return self.missing
        code = self.meanings.get(self._meaning(text))
        if code is not None:
            return code
        return self.missing if text.strip() in MARKS else UNKNOWN

    @cached_property
    def meanings(self) -> dict[Hashable, int]:
        """The code of each meaning: of several categories that mean the same, the most frequent one's."""
        return {self._meaning(text): code for text, code in reversed(self.codes.items())}

    def _meaning(self, text: str) -> Hashable:
        text = text.strip()
        if self.are_truths and text.lower() in TRUTHS:
            return TRUTHS[text.lower()]
        if NUMBER.fullmatch(text):
            is_exact = text.lstrip("+-").isdigit() and len(text) < MAX_DIGITS
            return int(text) if is_exact else float(text)
        clock = CLOCK.fullmatch(text)
        if clock:
            return int(clock[1]), int(clock[2]), float(clock[3] or 0)
        with suppress(ValueError, OverflowError):
            return moment(text, None, utc=False) if DATE.fullmatch(text) else text
        return text
