"""Which classes are mistaken for which."""

import numpy as np
from matplotlib.figure import Figure

from src.report.figures import BLACK, WHITE, new_figure
from src.report.parts import Plot
from src.report.wording import shortened

MAX_NUMBERED, MAX_NAMED = 30, 50  # classes whose cells have room for counts, and whose names have room


def confusion_plot(counts: np.ndarray, names: list[str], unit: str) -> Plot:
    """The matrix of counts (true class, predicted class), with how to read it. unit: images, rows."""
    return Plot(
        "Confusion matrix",
        draw_confusion(counts, names),
        f"Matrix of {len(names)} true by {len(names)} predicted classes; {np.trace(counts)} of {counts.sum()} {unit} "
        "lie on the diagonal: they are correct",
        "Rows are true classes, columns are predicted classes. Look for dark cells off the diagonal: these are the "
        "mistakes. The shade grows with the share of the row.",
    )


def draw_confusion(counts: np.ndarray, names: list[str]) -> Figure:
    """A figure of the matrix of counts (true class, predicted class); cells show their counts up to 30 classes.

    The shade is the root of the share of the true class, so a few mistakes in a hundred are visible. It runs from
    light to dark blue, which every reader can tell apart, also in grey. Cells without a count stay empty.
    """
    size = len(names)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    names = [shortened(name, 24) for name in names]
    longest = max(map(len, names))
    side = min(10.0, 1.6 + 0.07 * longest + 0.42 * size)
    figure = new_figure(side, side, layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(np.sqrt(np.ma.masked_equal(share, 0)), cmap="Blues", vmin=0, vmax=1.15, interpolation="none")
    named = range(0, size, -(-size // MAX_NAMED))
    axes.set_xticks(named, [names[i] for i in named], rotation=90 if longest > 3 else 0)
    axes.set_yticks(named, [names[i] for i in named])
    axes.tick_params(length=0, labelsize=8)
    axes.set(xlabel="predicted", ylabel="true", title=f"{int(np.trace(counts))} of {int(counts.sum())} correct")
    for row, column in zip(*np.nonzero(counts), strict=True) if size <= MAX_NUMBERED else ():
        color = WHITE if share[row, column] > 0.4 else BLACK
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=8, color=color)
    return figure
