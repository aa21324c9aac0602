"""How figures look: without global state, in colours that all eyes tell apart, each with a line of its own as well."""

from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Okabe and Ito's colours, in an order in which neighbours differ in lightness, too; on white and on black.
# Black, their eighth, is left out: the page draws text and axes in its own colour.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7")
LINES: tuple[Any, ...] = ("solid", "dashed", "dotted", "dashdot", (0, (6, 2, 1, 2, 1, 2)), (0, (1, 3)))
MARKERS = ("o", "s", "^", "D", "v", "P")
HATCHES = ("", "///", "...", "xxx", "\\\\\\", "++")
ACCENT = COLOURS[0]  # of what a figure of one colour shows
# Of text upon a colour or a photo: pure black and white become the page's ink and paper, which dark mode turns round.
BLACK, WHITE = "#010101", "#fefefe"


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches. It draws by itself, whatever matplotlib's backend; pyplot never hears of it."""
    figure = Figure(figsize=(width, height), dpi=100)
    FigureCanvasAgg(figure)
    return figure


def line_style(number: int) -> dict[str, Any]:
    """Colour and dashes of a figure's line number 0, 1, ..., as keywords for `plot`; those of the first come again."""
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": LINES[number % len(LINES)]}


def marker_style(number: int) -> dict[str, Any]:
    """Colour and marker of a figure's kind of dots number 0, 1, ..., as keywords for `plot` without a line."""
    return {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)], "linestyle": "none"}


def bar_style(number: int) -> dict[str, Any]:
    """Colour and hatch of a figure's kind of bars number 0, 1, ..., as keywords for `bar` and `barh`."""
    return {"color": COLOURS[number % len(COLOURS)], "hatch": HATCHES[number % len(HATCHES)]}


def without_box(axes: Any) -> None:
    """Leave out the frame's upper and right side, which say nothing."""
    axes.spines[["top", "right"]].set_visible(False)
