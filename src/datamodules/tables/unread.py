"""Tells which cells of a table may be read otherwise than meant, in training and in prediction."""

from collections import Counter

import numpy as np
import pandas as pd

from src.core.errors import named
from src.core.output import note, warn
from src.datamodules.tables.cells import MARKS, MISSING, UNKNOWN
from src.datamodules.tables.checks import get_columns
from src.datamodules.tables.dates import have_zones
from src.datamodules.tables.processing import TableProcessing

MOST = 0.5  # share of the rows


def note_readings(train: pd.DataFrame, processing: TableProcessing) -> None:
    """Note the categories that look like marks of missing values, and the dates whose zone is dropped."""
    for values in get_columns(train, processing.categorical):
        marks = [text for text in processing.fitted["categories"][values.name] if text in MARKS]
        if marks:
            note(f"{values.name} has the word {named(marks)}: a category, as always in text; a blank cell is missing")
    for values in get_columns(train, processing.dates):
        if have_zones(values):
            note(f"the times of {values.name} have a zone: what the clock shows there counts")


def warn_of_lost_words(frame: pd.DataFrame, processing: TableProcessing) -> None:
    """Warn of missing cells where training had the word None or the like, which pandas may have read as missing."""
    for values in get_columns(frame, processing.categorical):
        name = str(values.name)
        marks = [text for text in processing.fitted["categories"][name] if text in MARKS]
        if marks and processing.had_missing(name) and values.isna().any() and not values.isin(marks).any():
            warn(
                f"{name} has missing cells and never the word {named(marks)}, which it had in training beside missing "
                "cells; if pandas.read_csv read the table, give it keep_default_na=False"
            )


class Unread:
    """Counts cells that are missing or unknown, and warns of columns where most are and few were in training."""

    def __init__(self, processing: TableProcessing) -> None:
        self.processing = processing
        self.missing: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self.examples: dict[str, str] = {}  # an unknown cell of each column

    def count(self, frame: pd.DataFrame, missing: dict[str, np.ndarray]) -> None:
        """Count the cells of some rows.

        Args:
            frame: the rows.
            missing: for each column of numbers, which rows have none, bool (rows,).
        """
        self.missing.update({name: int(rows.sum()) for name, rows in missing.items()})
        for name, codes in zip(self.processing.category_names, self.processing.codes(frame).T, strict=True):
            self.missing[name] += int((codes == MISSING).sum())
            unknown = codes == UNKNOWN
            self.unknown[name] += int(unknown.sum())
            if unknown.any() and name in frame:  # a part of a date is not a column
                self.examples.setdefault(name, f", such as {str(frame[name].iloc[int(unknown.argmax())])[:40]!r}")

    def tell(self, total: int) -> None:
        """Warn of each column that is mostly missing or unknown in `total` rows, and was not in training."""
        before = self.processing.unread_shares
        for what, counts in (("missing", self.missing), ("unknown", self.unknown)):
            for name, count in counts.items():
                share = before.get(name, {}).get(what, 1.0)  # older checkpoints do not know it
                if count > MOST * total and share <= MOST:
                    example = self.examples.get(name, "") if what == "unknown" else ""
                    warn(
                        f"{name} is {what} in {count:,} of {total:,} rows{example}; in training it was in {share:.1%}: "
                        "is it spelled as it was there?"
                    )
