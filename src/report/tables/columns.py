"""The columns of a table behind a net's inputs: which inputs each has, and its values in the table's own words."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from scipy.special import ndtr

MISSING = "<missing>"
FIRST_KNOWN = 2  # codes 0 and 1 are missing and unknown categories
EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True)
class Category:
    """An input of codes. place: among such inputs. texts: of the codes, the most frequent known one first."""

    name: str
    place: int
    texts: list[str]


@dataclass(frozen=True)
class Number:
    """An input of scaled numbers. place: among such inputs. flag: the place of its flag for missing values."""

    name: str
    place: int
    flag: int | None
    fitted: dict[str, Any]

    def original(self, scaled: np.ndarray) -> np.ndarray:
        """Scaled numbers in the table's units."""
        scaled = np.asarray(scaled, dtype=np.float64)
        if "quantiles" in self.fitted:
            quantiles = self.fitted["quantiles"]
            return np.interp(ndtr(scaled), np.linspace(0, 1, len(quantiles)), quantiles)
        return scaled * self.fitted["std"] + self.fitted["mean"]

    def text(self, scaled: float) -> str:
        """A number as the table has it, without the digits that scaling has rounded."""
        value = float(self.original(np.array(scaled)))
        error = 1e-7 * (self.fitted["std"] * max(1, abs(scaled)) if "std" in self.fitted else abs(value))
        return f"{round(value, -math.ceil(math.log10(error))) + 0.0:.12g}" if error else "0"  # + 0.0: no -0


@dataclass(frozen=True)
class Column:
    """A column of the table, and the inputs made from it; a date has several."""

    name: str
    categories: Sequence[Category]
    numbers: Sequence[Number]
    is_date: bool = False

    @property
    def number_places(self) -> list[int]:
        """The places of its numbers and of their flags."""
        return [place for number in self.numbers for place in (number.place, number.flag) if place is not None]

    def text(self, codes: np.ndarray, scaled: np.ndarray) -> str:
        """The column's value in a row with these codes and scaled numbers."""
        words = {category.name: category.texts[codes[category.place]] for category in self.categories}
        for number in self.numbers:
            missing = number.flag is not None and scaled[number.flag] == 1
            words[number.name] = MISSING if missing else number.text(scaled[number.place])
        return self._date(words) if self.is_date else next(iter(words.values()))

    def _date(self, words: dict[str, str]) -> str:
        """The date if its parts determine it, else the parts."""
        parts = {name.removeprefix(f"{self.name}_"): text for name, text in words.items()}
        if set(parts.values()) == {MISSING}:
            return MISSING
        if parts.get("elapsed", MISSING) != MISSING:
            time = EPOCH + timedelta(minutes=round(24 * 60 * float(parts["elapsed"])))
            return f"{time:%Y-%m-%d}" if time.time() == datetime.min.time() else f"{time:%Y-%m-%d %H:%M}"
        if {"year", "month", "day"} <= set(parts):
            return f"{parts['year']}-{parts['month']:0>2}-{parts['day']:0>2}"
        return ", ".join(f"{part.replace('_', ' ')} {text}" for part, text in parts.items())


def table_columns(processing: dict[str, Any]) -> list[Column]:
    """The columns of the table a net was trained on, from `spec["processing"]`: categories, numbers, dates."""
    categories = [
        Category(name, place, [MISSING, "<unknown>", *texts])
        for place, (name, texts) in enumerate(processing["categories"].items())
    ]
    numbers, place = [], 0
    for name, fitted in processing["continuous"].items():
        numbers.append(Number(name, place, place + 1 if fitted["missing"] else None, fitted))
        place += 1 + fitted["missing"]
    choices = processing["choices"]
    parts = {f"{date}_{part}": date for date in choices["dates"] for part in choices["date_parts"]}
    return [
        Column(
            name,
            [category for category in categories if parts.get(category.name, category.name) == name],
            [number for number in numbers if parts.get(number.name, number.name) == name],
            is_date=name in choices["dates"],
        )
        for name in (*choices["categorical"], *choices["continuous"], *choices["dates"])
    ]
