"""Reads rows of CSVs, whatever separates their cells and however long these are."""

import csv
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

LONGEST = (1 << 31) - 1  # characters of a cell; Python's own limit of 131,072 is shorter than some documents
SEPARATORS = ",;\t|"


def separator_of(header: str) -> str:
    """Return the most frequent of , ; | and tab in the first line of a CSV, outside quotes."""
    return max(SEPARATORS, key=re.sub('"[^"]*"', "", header).count)


def csv_rows(lines: Iterable[str], **choices: Any) -> "csv.DictReader[str]":
    """Return a reader of the rows as dicts by the header's names.

    Args:
        lines: of the file, with their line ends.
        **choices: arguments of csv.DictReader.
    """
    csv.field_size_limit(LONGEST)
    lines = iter(lines)
    header = next(lines, "")
    return csv.DictReader(chain([header], lines), delimiter=separator_of(header), **choices)


def joined(parts: Iterable[str]) -> Iterator[str]:
    """Join parts of a text into lines, each with its line end."""
    held: list[str] = []
    for part in parts:
        held.append(part)
        if part.endswith("\n"):
            yield "".join(held)
            held.clear()
    if held:
        yield "".join(held)
