"""How figures look: no global state, colours that every reader can tell apart, and a second cue beside colour."""

import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, fontManager, get_font
from matplotlib.text import Text
from matplotlib.ticker import LogFormatter, LogFormatterMathtext

from src.core.output import note
from src.report.wording import shortened

# Okabe and Ito's colours, ordered for neighbours to differ in lightness as well, on white and on black.
# Their black is left out: the page draws text and axes in its own colour.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7")
LINES: tuple[Any, ...] = ("solid", "dashed", "dotted", "dashdot", (0, (6, 2, 1, 2, 1, 2)), (0, (1, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P")
HATCHES = ("", "///", "...", "xxx", "\\\\\\", "++")
ACCENT = COLOURS[0]  # for figures of one colour
# For text on a colour or a photo. Pure black and white become the page's ink and paper, which swap in dark mode.
BLACK, WHITE = "#010101", "#fefefe"
# matplotlib's own font lacks Chinese, Japanese and Korean, and most emoji. Which of these are installed, help out.
OTHER_FONTS = ("Noto Sans CJK JP", "Noto Sans CJK SC", "WenQuanYi Zen Hei", "Hiragino Sans", "Yu Gothic")
OTHER_FONTS += ("Microsoft YaHei", "Malgun Gothic", "Noto Emoji", "Segoe UI Emoji", "Noto Sans", "Symbola")

_told: set[str] = set()  # characters that no font has, which this process has told


class PlainFigure(Figure):
    """A figure that shows every text as it is written: matplotlib would read a formula between two dollar signs."""

    def draw(self, renderer: Any) -> None:
        texts: Any = self.findobj(Text)
        for text in texts:
            text.set_parse_math(False)
            if not text.get_text().isascii():
                text.set_fontfamily(list(dict.fromkeys([*text.get_fontfamily(), *_other_fonts()])))
        if not isinstance(self.canvas, FigureCanvasSVG):  # a browser has fonts of its own
            _tell_missing("".join(text.get_text() for text in texts))
        for axes in self.axes:
            for axis in (axes.xaxis, axes.yaxis):
                _write_plain(axis)
        with matplotlib.rc_context({"text.parse_math": False}), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from font")  # told above
            super().draw(renderer)


def _write_plain(axis: Any) -> None:
    """Let a logarithmic axis write 1e-05 instead of a formula."""
    for is_major, old in ((True, axis.get_major_formatter()), (False, axis.get_minor_formatter())):
        if isinstance(old, LogFormatterMathtext):
            new = LogFormatter(axis.get_transform().base, old.labelOnlyBase, old.minor_thresholds)
            (axis.set_major_formatter if is_major else axis.set_minor_formatter)(new)


@cache
def _other_fonts() -> tuple[str, ...]:
    installed = {font.name for font in fontManager.ttflist}
    return tuple(name for name in OTHER_FONTS if name in installed)


def _tell_missing(text: str) -> None:
    """Say once of each character that no font has it: an image then shows a box."""
    missing = "".join(sorted(c for c in set(text) - _told if not c.isascii() and not c.isspace() and _lacks(c)))
    if missing:
        _told.update(missing)
        note(f"figures show boxes for {missing}, which no installed font has: install one, such as Noto Sans CJK")


@cache
def _lacks(character: str) -> bool:
    fonts = [get_font(findfont(name)) for name in ("DejaVu Sans", *_other_fonts())]
    return not any(font.get_char_index(ord(character)) for font in fonts)


def new_figure(width: float, height: float, layout: Any = None) -> Figure:
    """An empty figure, in inches, with a canvas of its own: no pyplot, whatever matplotlib's backend."""
    figure = PlainFigure(figsize=(width, height), dpi=100, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def new_axes(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure, in inches, with one plot that makes room for its labels."""
    figure = new_figure(width, height, layout="constrained")
    axes = figure.add_subplot()
    without_box(axes)
    return figure, axes


def line_style(number: int) -> dict[str, Any]:
    """Colour and dashes of line number 0, 1, ..., as keywords for `plot`; they repeat after the last."""
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": LINES[number % len(LINES)]}


def marker_style(number: int) -> dict[str, Any]:
    """Colour and marker of dots number 0, 1, ..., as keywords for `plot` without a line."""
    return {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)], "linestyle": "none"}


def bar_style(number: int) -> dict[str, Any]:
    """Colour and hatch of bars number 0, 1, ..., as keywords for `bar` and `barh`."""
    return {"color": COLOURS[number % len(COLOURS)], "hatch": HATCHES[number % len(HATCHES)]}


def without_box(axes: Any) -> None:
    """Hide the upper and right side of the frame."""
    axes.spines[["top", "right"]].set_visible(False)


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Write names at the vertical places 0, 1, ..., the first on top."""
    axes.set_yticks(range(len(names)), [shortened(name, 24) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


def add_legend(axes: Axes, **choices: Any) -> None:
    """Add a legend without a frame; choices go to matplotlib's `legend`."""
    for artist in (*axes.lines, *axes.patches, *axes.collections, *axes.containers):
        label = str(artist.get_label())
        if label.startswith("_") and not label.startswith(("_child", "_container", "_nolegend")):
            artist.set_label(f"\N{ZERO WIDTH SPACE}{label}")  # matplotlib leaves out names that begin with _
    axes.legend(frameon=False, **choices)
