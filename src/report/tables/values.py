"""Whether a table's net can be trusted with values: predicted against true, and what is left of it."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from src.report.figures import ACCENT, COLOURS, line_style, new_figure, without_box
from src.report.tables.labels import add_legend

NUM_BINS = 12
MOST_DOTS = 4000


def draw_predicted(predicted: np.ndarray, true: np.ndarray, name: str) -> Figure:
    """A dot for each row, and the diagonal of a net that is always right; both (rows,), in the target's units."""
    figure = new_figure(4.8, 4.4)
    figure.set_layout_engine("constrained")
    axes = figure.add_subplot()
    _dots(axes, predicted, true)
    ends = [min(predicted.min(), true.min()), max(predicted.max(), true.max())]
    axes.plot(ends, ends, **line_style(1), lw=2, label="always right")
    axes.set_xlabel(f"predicted {name}", parse_math=False)
    axes.set_ylabel(f"true {name}", parse_math=False)
    add_legend(axes, loc="upper left")
    without_box(axes)
    return figure


def draw_residuals(predicted: np.ndarray, true: np.ndarray, name: str) -> Figure:
    """How far the truth lies above or below the prediction; lines for the middle and for nine rows of ten."""
    figure = new_figure(4.8, 4.4)
    figure.set_layout_engine("constrained")
    axes = figure.add_subplot()
    residuals = true - predicted
    _dots(axes, predicted, residuals)
    middles, low, median, high = bands(predicted, residuals)
    axes.axhline(0, **line_style(1), lw=2, label="always right")
    axes.plot(middles, median, color=COLOURS[3], marker="o", ms=4, lw=2, label="half of the rows above, half below")
    for edge, label in ((low, None), (high, "9 of 10 rows lie between")):
        axes.plot(middles, edge, color=COLOURS[3], linestyle="dotted", lw=2, label=label)
    axes.set_xlabel(f"predicted {name}", parse_math=False)
    axes.set_ylabel("true minus predicted")
    add_legend(axes, fontsize=8)
    without_box(axes)
    return figure


def bands(predicted: np.ndarray, residuals: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Of bins of rows from low to high predictions, the mean prediction, and the residuals' 5, 50 and 95 %."""
    bins = np.array_split(np.argsort(predicted, kind="stable"), min(NUM_BINS, max(1, len(predicted) // 10)))
    middles = np.array([predicted[rows].mean() for rows in bins])
    low, median, high = np.array([np.quantile(residuals[rows], (0.05, 0.5, 0.95)) for rows in bins]).T
    return middles, low, median, high


def _dots(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    step = -(-len(x) // MOST_DOTS)
    axes.scatter(x[::step], y[::step], s=9, color=ACCENT, alpha=0.3, linewidths=0)
