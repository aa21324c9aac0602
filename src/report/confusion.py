"""Which classes are taken for which."""

import numpy as np
from matplotlib.figure import Figure

from src.report.figures import BLACK, WHITE, new_figure


def draw_confusion(counts: np.ndarray, names: list[str]) -> Figure:
    """A figure of a matrix of counts (true class, predicted class); cells hold their counts up to 30 classes.

    The shade is the share of the true class, on one blue scale, light to dark: to be told apart by any eye, and in
    grey. Its root is drawn, so that a few mistakes in a hundred are visible; cells without any stay empty.
    """
    size = len(names)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    longest = max(map(len, names))
    side = min(10.0, 1.6 + 0.07 * longest + 0.42 * size)
    figure = new_figure(side, side)
    figure.set_layout_engine("constrained")
    axes = figure.add_subplot()
    axes.imshow(np.sqrt(np.ma.masked_equal(share, 0)), cmap="Blues", vmin=0, vmax=1.15, interpolation="none")
    step = -(-size // 50)  # the names of 50 classes at most fit
    shown = range(0, size, step)
    axes.set_xticks(shown, [names[i] for i in shown], rotation=90 if longest > 3 else 0)
    axes.set_yticks(shown, [names[i] for i in shown])
    axes.tick_params(length=0, labelsize=8)
    axes.set(xlabel="predicted", ylabel="true", title=f"{int(np.trace(counts))} of {int(counts.sum())} right")
    for row, column in zip(*np.nonzero(counts), strict=True) if size <= 30 else ():
        color = WHITE if share[row, column] > 0.4 else BLACK
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=8, color=color)
    return figure
