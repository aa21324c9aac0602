"""How a report looks: one HTML page that needs no network, no script and no other file."""

import base64
import io
import itertools
import re
import struct
from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

from src.report.figures import ACCENT
from src.report.parts import Picture, Section, Table

MANY = 2000  # points of a line or a cloud; more are drawn as pixels, in a page that has to stay small
PIXELS_PER_INCH = 96  # of CSS
# A figure's ink, paper and first colour, which is dim on black.
COLOURS_OF_PAGE = {"#000000": "currentColor", "#ffffff": "var(--paper)", ACCENT.lower(): "var(--blue)"}
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def render(title: str, opening: Markup, sections: Sequence[Section]) -> str:
    """The page. opening: what stands between the title and the table of contents.

    The same content gives the same bytes. Text is escaped, unless it is Markup.
    """
    numbers = itertools.count(1)
    return str(
        fill(
            "page.html.jinja",
            title=title,
            opening=opening,
            sections=sections,
            embedded=lambda picture: embedded(picture, next(numbers)),
            width_of=width_of,
        )
    )


def fill(name: str, **values: Any) -> Markup:
    """A template of this folder, filled in."""
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    templates.filters |= {"cell": cell, "is_number": is_number, "paragraphs": paragraphs}
    templates.tests |= {
        "picture": lambda part: isinstance(part, Picture),
        "table": lambda part: isinstance(part, Table),
    }
    return Markup(templates.get_template(name).render(**values))


# ---- pictures ----


def width_of(picture: Picture) -> int:
    """How wide a picture is, in the page's pixels, if there is room."""
    if isinstance(picture.source, Figure):
        return round(picture.source.get_figwidth() * PIXELS_PER_INCH)
    return png_size(picture.source)[0]


def embedded(picture: Picture, number: int) -> Markup:
    """A picture as HTML. number: another one for each picture of a page."""
    if isinstance(picture.source, Figure):
        return svg_of(picture.source, picture.alt, f"p{number}-")
    width, height = png_size(picture.source)
    data = base64.b64encode(picture.source).decode()
    template = '<img src="data:image/png;base64,{}" alt="{}" width="{}" height="{}">'
    return Markup(template).format(data, picture.alt, width, height)


def png_size(content: bytes) -> tuple[int, int]:
    """Width and height of a PNG, in pixels. Raises ValueError if it is none."""
    if content[:8] != b"\x89PNG\r\n\x1a\n":
        raise ValueError(f"a report's pictures are figures or PNGs, got bytes that begin with {content[:8]!r}")
    return struct.unpack(">II", content[16:24])


def svg_of(figure: Figure, alt: str, prefix: str) -> Markup:
    """A figure as inline SVG, its text as text, in the page's font and colours. prefix: of all its ids."""
    for axes in figure.axes:
        for line in axes.lines:
            line.set_rasterized(line.get_rasterized() or len(line.get_xdata()) > MANY)  # pyright: ignore[reportArgumentType]
        for cloud in axes.collections:
            cloud.set_rasterized(cloud.get_rasterized() or len(cloud.get_offsets()) > MANY)  # pyright: ignore[reportArgumentType]
    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        figure.savefig(file, format="svg", transparent=True, dpi=150, metadata=NO_METADATA)
    width, height = (round(side * PIXELS_PER_INCH) for side in figure.get_size_inches())
    content = file.getvalue().partition("<svg ")[2].partition(">")[2]
    # Its own style sheet would be the whole page's; what it says stands there.
    content = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>|<metadata>.*?</metadata>", "", content, flags=re.DOTALL)
    names: dict[str, str] = {}
    content = re.sub(r"<[^>]+>", lambda tag: _tag_in_page(tag[0], prefix, names), content)
    box = f"0 0 {width * 72 / PIXELS_PER_INCH:g} {height * 72 / PIXELS_PER_INCH:g}"
    opening = '<svg role="img" aria-label="{}" width="{}" height="{}" viewBox="{}">'
    return Markup(opening).format(alt, width, height, box) + Markup(content.strip())


def _tag_in_page(tag: str, prefix: str, names: dict[str, str]) -> str:
    """names: of ids, as they come up: matplotlib's own are others each time."""
    tag = re.sub(
        r'( id="|href="#|url\(#)([^")]+)',
        lambda found: found[1] + names.setdefault(found[2], f"{prefix}{len(names)}"),
        tag,
    )
    tag = re.sub("font-family: [^;]*; ?", "", tag)  # the page's own
    for colour, of_page in COLOURS_OF_PAGE.items():
        tag = tag.replace(colour, of_page)
    return tag


# ---- text ----


def paragraphs(text: str) -> Iterable[str]:
    """What empty lines divide; Markup stays as it is."""
    return [text] if isinstance(text, Markup) else [part.strip() for part in text.split("\n\n") if part.strip()]


def is_number(value: Any) -> bool:
    """Whether a table's cell is to stand on the right."""
    return isinstance(value, Real) and not isinstance(value, bool)


def cell(value: Any) -> Any:
    """A table's cell in words: numbers with four digits, but whole ones with all of theirs."""
    if value is None:
        return ""
    if not is_number(value):
        return value
    if isinstance(value, Integral) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:#.4g}"  # zeros at the end, too: what stands below one another is to be compared
