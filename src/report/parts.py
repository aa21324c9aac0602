"""What a report is made of: sections of plots, tables and prose. page.py decides how they look."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import matplotlib.figure
from markupsafe import Markup


@dataclass(frozen=True)
class Plot:
    """A figure or an image with its caption.

    Attributes:
        source: a figure, drawn as SVG in the colours of the page, or the bytes of a PNG.
        alt: describes it to a reader who cannot see it.
        note: the caption below it.
    """

    title: str
    source: matplotlib.figure.Figure | bytes
    alt: str
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of cells: text, numbers (shown with four digits), or Markup, such as a small image."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Any]]
    note: str = ""


@dataclass(frozen=True)
class Prose:
    """Text whose paragraphs are divided by empty lines, or Markup."""

    text: str | Markup
    title: str = ""


Part: TypeAlias = Plot | Table | Prose


@dataclass(frozen=True)
class Section:
    """Parts under a heading, which the table of contents lists."""

    title: str
    parts: Sequence[Part]
    note: str = ""
