"""Whether a table's net can be trusted with classes: is it right as often as it says, and what does it mistake?"""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from src.report.figures import ACCENT, COLOURS, bar_style, new_figure, without_box
from src.report.tables.labels import add_legend, name_rows

MOST_CLASSES = 20


def draw_scores(probabilities: np.ndarray, classes: np.ndarray, names: Sequence[str]) -> Figure:
    """Of two classes: how probable the net finds the second one in rows of either."""
    figure = new_figure(4.8, 3.6)
    figure.set_layout_engine("constrained")
    axes = figure.add_subplot()
    edges = np.linspace(0, 1, 26)
    for number, name in enumerate(names):
        here = probabilities[classes == number]
        shares = 100 * np.histogram(here, edges)[0] / max(len(here), 1)
        axes.stairs(shares, edges, color=COLOURS[number], lw=1.8, fill=False, label=f"truly {name} ({len(here):,})")
        axes.bar(edges[:-1], shares, np.diff(edges), align="edge", alpha=0.3, **bar_style(number))
    axes.set_xlabel(f"probability of {names[1]}", parse_math=False)
    axes.set_ylabel("% of the class's rows")
    add_legend(axes)
    without_box(axes)
    return figure


def draw_true_classes(probabilities: np.ndarray, classes: np.ndarray, names: Sequence[str]) -> tuple[Figure, int]:
    """A box for each class: the probability that the net gives it in its own rows; and how many are drawn.

    The hardest class is on top; those without rows are left out, and of many the easiest ones.
    """
    there = [number for number in range(len(names)) if (classes == number).any()]
    own = {number: probabilities[classes == number, number] for number in there}
    hardest = sorted(there, key=lambda number: float(np.median(own[number])))[:MOST_CLASSES]
    figure = new_figure(4.8, 1.2 + 0.28 * len(hardest))
    figure.set_layout_engine("constrained")
    axes = figure.add_subplot()
    axes.boxplot(
        [own[number] for number in hardest],
        positions=range(len(hardest)),
        orientation="horizontal",
        whis=(5, 95),
        showfliers=False,
        widths=0.6,
        medianprops={"color": ACCENT, "lw": 3},
    )
    name_rows(axes, [f"{names[number]} ({len(own[number]):,})" for number in hardest])
    axes.set(xlabel="probability of the true class", xlim=(-0.02, 1.02))
    without_box(axes)
    return figure, len(hardest)
