"""How figures look: no global state, colours that every reader can tell apart, and a second cue beside colour."""

from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

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


def new_figure(width: float, height: float, layout: Any = None) -> Figure:
    """An empty figure, in inches, with a canvas of its own: no pyplot, whatever matplotlib's backend."""
    figure = Figure(figsize=(width, height), dpi=100, layout=layout)
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


def as_written(texts: Iterable[Text]) -> None:
    """Show dollar signs: matplotlib would read a formula between two of them."""
    for text in texts:
        text.set_parse_math(False)


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Write names at the vertical places 0, 1, ..., the first on top."""
    axes.set_yticks(range(len(names)), [shortened(name, 24) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    as_written(axes.get_yticklabels())


def add_legend(axes: Axes, **choices: Any) -> None:
    """Add a legend without a frame; choices go to matplotlib's `legend`."""
    as_written(axes.legend(frameon=False, **choices).get_texts())
