"""How a report looks: one HTML page that needs no network, no script and no other file."""

import base64
import io
import itertools
import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

from src.report.figures import ACCENT
from src.report.parts import Plot, Section, Table
from src.report.wording import cell, is_number, paragraphs

MAX_POINTS = 2000  # of a line or a cloud; more are drawn as pixels, to keep the page small
PIXELS_PER_INCH = 96  # of CSS
# A figure's ink, paper and first colour. The page's own are lighter in dark mode.
COLOURS_OF_PAGE = {"#000000": "currentColor", "#ffffff": "var(--paper)", ACCENT.lower(): "var(--blue)"}
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def render(title: str, opening: Markup, sections: Sequence[Section]) -> str:
    """The page. Equal content gives equal bytes; text is escaped unless it is Markup.

    opening: stands between the title and the table of contents.
    """
    numbers = itertools.count(1)
    return str(
        fill(
            "page.html.jinja",
            title=title,
            opening=opening,
            sections=sections,
            embedded=lambda plot: embedded(plot, next(numbers)),
            width_of=width_of,
        )
    )


def fill(name: str, **values: Any) -> Markup:
    """Fill in a template of this folder."""
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    templates.filters |= {"cell": cell, "is_number": is_number, "paragraphs": paragraphs}
    templates.tests |= {"plot": lambda part: isinstance(part, Plot), "table": lambda part: isinstance(part, Table)}
    return Markup(templates.get_template(name).render(**values))


def width_of(plot: Plot) -> int:
    """How wide a plot is, in CSS pixels, if there is room."""
    if isinstance(plot.source, Figure):
        return round(plot.source.get_figwidth() * PIXELS_PER_INCH)
    return png_size(plot.source)[0]


def embedded(plot: Plot, number: int) -> Markup:
    """A plot as HTML. number: a different one for each plot of a page."""
    if isinstance(plot.source, Figure):
        return svg_of(plot.source, plot.alt, f"p{number}-")
    width, height = png_size(plot.source)
    data = base64.b64encode(plot.source).decode()
    template = '<img src="data:image/png;base64,{}" alt="{}" width="{}" height="{}">'
    return Markup(template).format(data, plot.alt, width, height)


def png_size(content: bytes) -> tuple[int, int]:
    """Width and height of a PNG, in pixels. Raises ValueError if the bytes are not a PNG."""
    if content[:8] != b"\x89PNG\r\n\x1a\n":
        raise ValueError(f"a report's images must be figures or PNGs, got bytes that begin with {content[:8]!r}")
    return struct.unpack(">II", content[16:24])


def svg_of(figure: Figure, alt: str, prefix: str) -> Markup:
    """A figure as inline SVG, its text as text, in the page's font and colours. prefix: of all its ids."""
    for axes in figure.axes:
        for line in axes.lines:
            line.set_rasterized(line.get_rasterized() or len(line.get_xdata()) > MAX_POINTS)  # pyright: ignore[reportArgumentType]
        for cloud in axes.collections:
            cloud.set_rasterized(cloud.get_rasterized() or len(cloud.get_offsets()) > MAX_POINTS)  # pyright: ignore[reportArgumentType]
    file = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        figure.savefig(file, format="svg", transparent=True, dpi=150, metadata=NO_METADATA)
    width, height = (round(side * PIXELS_PER_INCH) for side in figure.get_size_inches())
    content = file.getvalue().partition("<svg ")[2].partition(">")[2]
    # Its style sheet would apply to the whole page; the page's own says the same.
    content = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>|<metadata>.*?</metadata>", "", content, flags=re.DOTALL)
    names: dict[str, str] = {}
    content = re.sub(r"<[^>]+>", lambda tag: _tag_in_page(tag[0], prefix, names), content)
    box = f"0 0 {width * 72 / PIXELS_PER_INCH:g} {height * 72 / PIXELS_PER_INCH:g}"
    opening = '<svg role="img" aria-label="{}" width="{}" height="{}" viewBox="{}">'
    return Markup(opening).format(alt, width, height, box) + Markup(content.strip())


def _tag_in_page(tag: str, prefix: str, names: dict[str, str]) -> str:
    """A tag with the page's colours, font and ids. names: of the ids so far; matplotlib's differ each time."""
    tag = re.sub(
        r'( id="|href="#|url\(#)([^")]+)',
        lambda found: found[1] + names.setdefault(found[2], f"{prefix}{len(names)}"),
        tag,
    )
    tag = re.sub("font-family: [^;]*; ?", "", tag)
    for colour, of_page in COLOURS_OF_PAGE.items():
        tag = tag.replace(colour, of_page)
    return tag
