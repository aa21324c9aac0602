"""The picture of a learning-rate search: loss against learning rate, with every suggestion."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from src.callbacks.lr_finder.rules import Curve, kernel_average
from src.report.figures import new_figure

# Okabe and Ito's colours, which all kinds of eyes tell apart, each with dashes of its own as well.
STYLES: list[tuple[str, Any]] = [
    ("#D55E00", "solid"),
    ("#0072B2", "dashed"),
    ("#009E73", "dotted"),
    ("#CC79A7", "dashdot"),
    ("#E69F00", (0, (6, 2, 1, 2, 1, 2))),
]


def draw(curves: list[Curve], ladder: np.ndarray, suggestions: dict[str, float], rule: str) -> Figure:
    """Each step's loss as a dot, the smoothed loss as a line, each suggestion as an upright; what diverged is shaded.

    Several curves are drawn as their mean in a band from the lowest to the highest.
    """
    figure = new_figure(8.5, 4.5)
    axes = figure.add_axes((0.08, 0.12, 0.6, 0.82))
    shortest = min(len(kernel_average(curve)) for curve in curves)
    lrs, smoothed = ladder[:shortest], np.stack([kernel_average(curve)[:shortest] for curve in curves])
    for number, curve in enumerate(curves):
        axes.plot(curve.lrs, curve.losses, ".", color="0.7", ms=4, label="" if number else "loss of a step")
    if len(curves) > 1:
        label = f"lowest to highest of {len(curves)}"
        axes.fill_between(lrs, smoothed.min(0), smoothed.max(0), color="black", alpha=0.2, lw=0, label=label)
    axes.plot(lrs, smoothed.mean(0), color="black", lw=2, label="smoothed")
    average = np.mean([curve.smoothed[:shortest] for curve in curves], axis=0)
    axes.plot(lrs, average, color="0.5", lw=1, ls=(0, (1, 1)), label="running average")
    for (name, lr), (color, dashes) in zip(suggestions.items(), STYLES, strict=True):
        is_chosen = name == rule
        label = f"{name}  {lr:.2g}{'  (suggested)' if is_chosen else ''}"
        axes.axvline(lr, color=color, ls=dashes, lw=3 if is_chosen else 1.5, label=label)
    _frame(axes, ladder, smoothed)
    figure.legend(*axes.get_legend_handles_labels(), loc="upper left", bbox_to_anchor=(0.69, 0.95), frameon=False)
    return figure


def _frame(axes: Axes, ladder: np.ndarray, smoothed: np.ndarray) -> None:
    """Axes whose height is the fall of the loss, and a shade over the rates at which it is above its start again."""
    start, low = float(smoothed[:, 0].max()), float(smoothed.min())
    height = max(start - low, 1e-12)
    top = start + 0.3 * height
    lowest = int(np.argmin(smoothed.mean(0)))
    above = np.flatnonzero(smoothed.mean(0)[lowest:] > start)
    diverged = lowest + int(above[0]) if len(above) else smoothed.shape[1] - 1
    if diverged < len(ladder) - 1:
        axes.axvspan(ladder[diverged], ladder[-1], color="0.9", lw=0, label="diverged")
    is_exponential = np.isclose(ladder[1] / ladder[0], ladder[-1] / ladder[-2])
    axes.set(xscale="log" if is_exponential else "linear", xlim=(ladder[0], ladder[-1]))
    axes.set(ylim=(low - 0.2 * height, top), xlabel="learning rate", ylabel="loss")
    axes.spines[["top", "right"]].set_visible(False)
