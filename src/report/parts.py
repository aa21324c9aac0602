"""What a report is made of. How it looks is page.py's business; what it says, that of the views."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import matplotlib.figure
from markupsafe import Markup


@dataclass(frozen=True)
class Picture:
    """A picture with what to say of it.

    source: a figure, drawn as SVG in the colours of the page; or the bytes of a PNG, which keep theirs.
    alt: what a reader who cannot see it is to know.  note: a line below it.
    """

    title: str
    source: matplotlib.figure.Figure | bytes
    alt: str
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of cells: text, numbers (shown with four digits), or Markup, such as a small picture."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Any]]
    note: str = ""


@dataclass(frozen=True)
class Prose:
    """Text, with paragraphs divided by empty lines; or Markup, which stands as it is."""

    text: str | Markup
    title: str = ""


Part: TypeAlias = Picture | Table | Prose


@dataclass(frozen=True)
class Section:
    """Parts under a heading of their own, which the page's table of contents names."""

    title: str
    parts: Sequence[Part]
    note: str = ""
