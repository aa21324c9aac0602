"""How far a table's net can be trusted: probabilities of classes, or predicted values against true ones."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix, roc_auc_score

from src.report.calibration import reliability_plot
from src.report.confusion import confusion_plot
from src.report.figures import ACCENT, COLOURS, add_legend, bar_style, name_rows, new_axes
from src.report.parts import Part, Plot
from src.report.tables.net import TableNet, TableRows
from src.report.values import plots_of_values

MAX_CONFUSED, MAX_BOXES = 60, 20  # classes of the confusion matrix, and with a box of their probabilities


def class_plots(net: TableNet, rows: TableRows) -> list[Part]:
    """Reliability, how well the classes are told apart, and the confusion matrix."""
    probabilities, classes = net.predictions(rows), net.truth(rows)
    advice = "If the net is too confident, more data, dropout or fewer epochs help."
    if net.is_binary:
        # A copy: a column of a matrix is not contiguous.
        reliability = reliability_plot(probabilities[:, 1].copy(), classes == 1, "rows", advice, net.names[1])
        parts: list[Part] = [reliability, _two_classes(net.names, probabilities[:, 1], classes)]
    else:
        is_true = probabilities.argmax(1) == classes
        reliability = reliability_plot(probabilities.max(1), is_true, "rows", advice)
        parts = [reliability, _many_classes(net.names, probabilities, classes)]
    if len(net.names) <= MAX_CONFUSED:
        counts = confusion_matrix(classes, probabilities.argmax(1), labels=range(len(net.names)))
        parts.append(confusion_plot(counts, net.names, "rows"))
    return parts


def _two_classes(names: Sequence[str], probabilities: np.ndarray, classes: np.ndarray) -> Part:
    note = "The less the two overlap, the better the net tells the classes apart."
    if len(set(classes.tolist())) == 2:
        note += (
            f" The AUROC is {roc_auc_score(classes, probabilities):.4f}: the chance that of one row of each class, the "
            f"row that is {names[1]} gets the higher probability (0.5 is guessing)."
        )
    note += f" A threshold below 0.5 finds more rows that are {names[1]}, at the price of more false alarms."
    figure = draw_probabilities(probabilities, classes, names)
    return Plot("Probabilities by class", figure, f"Probability of {names[1]} in rows of each class", note)


def _many_classes(names: Sequence[str], probabilities: np.ndarray, classes: np.ndarray) -> Part:
    figure, drawn = draw_true_classes(probabilities, classes, names)
    note = (
        "The probability of each row's true class, by class. The thick line is the median, the box holds half of the "
        "rows, the whiskers nine of ten. The class on top is the hardest: it needs more rows, or columns that tell it "
        "from the others."
    )
    if drawn < len(names):
        note += f" These are the {drawn} hardest of {len(names)} classes."
    return Plot("Probabilities by class", figure, f"Probability of the true class, {drawn} classes", note)


def draw_probabilities(probabilities: np.ndarray, classes: np.ndarray, names: Sequence[str]) -> Figure:
    """Of two classes: the probability of the second one, in rows of either."""
    figure, axes = new_axes(4.8, 3.6)
    edges = np.linspace(0, 1, 26)
    for number, name in enumerate(names):
        here = probabilities[classes == number]
        shares = 100 * np.histogram(here, edges)[0] / max(len(here), 1)
        axes.stairs(shares, edges, color=COLOURS[number], lw=1.8, fill=False, label=f"true {name} ({len(here):,})")
        axes.bar(edges[:-1], shares, np.diff(edges), align="edge", alpha=0.3, **bar_style(number))
    axes.set_xlabel(f"probability of {names[1]}")
    axes.set_ylabel("% of the class's rows")
    add_legend(axes)
    return figure


def draw_true_classes(probabilities: np.ndarray, classes: np.ndarray, names: Sequence[str]) -> tuple[Figure, int]:
    """A box for each class with the probability of that class in its own rows; returns also how many are drawn.

    The hardest class is on top. Classes without rows, and the easiest of too many classes, are left out.
    """
    present = [number for number in range(len(names)) if (classes == number).any()]
    own = {number: probabilities[classes == number, number] for number in present}
    hardest = sorted(present, key=lambda number: float(np.median(own[number])))[:MAX_BOXES]
    figure, axes = new_axes(4.8, 1.2 + 0.28 * len(hardest))
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
    return figure, len(hardest)


def value_plots(net: TableNet, rows: TableRows) -> list[Part]:
    """For each target, predicted against true values, and residuals."""
    widening = (
        "This is natural for a target learned as a logarithm: its errors are shares of the value."
        if net.learns_logarithms
        else "The logarithm of the target (datamodule.target_scaling=log) may fit better."
    )
    causes = "the columns say too little, or the training was too short"
    columns = zip(net.names, net.predictions(rows).T, net.truth(rows).T, strict=True)
    return [
        plot
        for name, predicted, true in columns
        for plot in plots_of_values(name, predicted, true, "rows", causes, widening)
    ]
