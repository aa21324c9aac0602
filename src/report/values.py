"""How far predicted numbers can be trusted: predicted against true values, and what is left."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from src.report.figures import ACCENT, COLOURS, add_legend, line_style, new_axes
from src.report.parts import Plot

NUM_BINS = 12  # of predictions, for the bands of residuals
MAX_DOTS = 4000


def plots_of_values(
    name: str, predicted: np.ndarray, true: np.ndarray, unit: str, causes: str, widening: str
) -> list[Plot]:
    """Predicted against true values of a target, and residuals, with how to read them.

    Args:
        name: of the target.
        predicted, true: (rows,), in the target's units.
        unit: what the values are of: images, rows.
        causes: why values may be too close to the mean.
        widening: what to make of errors that grow with the value.
    """
    residuals = true - predicted
    explained = 1 - residuals.var() / true.var() if true.var() else 0.0
    _, low, _, high = residual_bands(predicted, residuals)
    width = high - low
    grows = (
        f" Here the errors grow: the band is {width[-1] / width[0]:.1f} times as wide on the right. {widening}"
        if (0 < 3 * width[0] < width[-1])
        else ""
    )
    return [
        Plot(
            f"{name}: predicted and true",
            draw_predicted(predicted, true, name),
            f"True against predicted {name}; {explained:.0%} of the variance is explained",
            f"On the dashed line the prediction is exact. The net explains {explained:.1%} of the variance of {name}. "
            f"If the cloud is steeper than the line, the net's values are too close to the mean: {causes}.",
        ),
        Plot(
            f"{name}: residuals",
            draw_residuals(predicted, true, name, unit),
            f"True minus predicted {name} against predicted; the mean is {residuals.mean():.4g}",
            "Good residuals look the same from left to right, half above zero and half below. A bend of the middle "
            f"line is a pattern that the net has missed.{grows}",
        ),
    ]


def draw_predicted(predicted: np.ndarray, true: np.ndarray, name: str) -> Figure:
    """A dot for each row, and the diagonal of exact predictions; both (rows,), in the target's units."""
    figure, axes = new_axes(4.8, 4.4)
    _dots(axes, predicted, true)
    ends = [min(predicted.min(), true.min()), max(predicted.max(), true.max())]
    axes.plot(ends, ends, **line_style(1), lw=2, label="exact")
    axes.set_xlabel(f"predicted {name}")
    axes.set_ylabel(f"true {name}")
    add_legend(axes, loc="upper left")
    return figure


def draw_residuals(predicted: np.ndarray, true: np.ndarray, name: str, unit: str) -> Figure:
    """True minus predicted values, with lines for the median and for nine of ten."""
    figure, axes = new_axes(4.8, 4.4)
    residuals = true - predicted
    _dots(axes, predicted, residuals)
    middles, low, median, high = residual_bands(predicted, residuals)
    axes.axhline(0, **line_style(1), lw=2, label="exact")
    axes.plot(middles, median, color=COLOURS[3], marker="o", ms=4, lw=2, label="median")
    for edge, label in ((low, None), (high, f"9 of 10 {unit} lie between")):
        axes.plot(middles, edge, color=COLOURS[3], linestyle="dotted", lw=2, label=label)
    axes.set_xlabel(f"predicted {name}")
    axes.set_ylabel("true minus predicted")
    add_legend(axes, fontsize=8)
    return figure


def residual_bands(
    predicted: np.ndarray, residuals: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """For bins of rows from low to high predictions: the mean prediction, and the 5, 50 and 95 % residuals."""
    bins = np.array_split(np.argsort(predicted, kind="stable"), min(NUM_BINS, max(1, len(predicted) // 10)))
    middles = np.array([predicted[rows].mean() for rows in bins])
    low, median, high = np.array([np.quantile(residuals[rows], (0.05, 0.5, 0.95)) for rows in bins]).T
    return middles, low, median, high


def _dots(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    step = -(-len(x) // MAX_DOTS)
    axes.scatter(x[::step], y[::step], s=9, color=ACCENT, alpha=0.3, linewidths=0)
