"""How far a table's net can be trusted: probabilities of classes, or predicted values against true ones."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix, roc_auc_score

from src.report.calibration import reliability_plot
from src.report.confusion import confusion_plot
from src.report.figures import ACCENT, COLOURS, add_legend, bar_style, line_style, name_rows, new_axes
from src.report.parts import Part, Plot
from src.report.tables.net import TableNet, TableRows

MAX_CONFUSED, MAX_BOXES = 60, 20  # classes of the confusion matrix, and with a box of their probabilities
NUM_BINS = 12  # of predictions, for the bands of residuals
MAX_DOTS = 4000


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
    columns = zip(net.names, net.predictions(rows).T, net.truth(rows).T, strict=True)
    return [part for name, predicted, true in columns for part in _values(net, name, predicted, true)]


def _values(net: TableNet, name: str, predicted: np.ndarray, true: np.ndarray) -> list[Part]:
    residuals = true - predicted
    explained = 1 - residuals.var() / true.var() if true.var() else 0.0
    _, low, _, high = residual_bands(predicted, residuals)
    width = high - low
    widening = ""
    if 0 < 3 * width[0] < width[-1]:
        widening = f" Here the errors grow: the band is {width[-1] / width[0]:.1f} times as wide on the right."
        widening += (
            " This is natural for a target learned as a logarithm: its errors are shares of the value."
            if net.learns_logarithms
            else " The logarithm of the target (datamodule.target_scaling=log) may fit better."
        )
    return [
        Plot(
            f"{name}: predicted and true",
            draw_predicted(predicted, true, name),
            f"True against predicted {name}; {explained:.0%} of the variance is explained",
            f"On the dashed line the prediction is exact. The net explains {explained:.1%} of the variance of {name}. "
            "If the cloud is steeper than the line, the net's values are too close to the mean: the columns say too "
            "little, or the training was too short.",
        ),
        Plot(
            f"{name}: residuals",
            draw_residuals(predicted, true, name),
            f"True minus predicted {name} against predicted; the mean is {residuals.mean():.4g}",
            "Good residuals look the same from left to right, half above zero and half below. A bend of the middle "
            f"line is a pattern that the net has missed.{widening}",
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


def draw_residuals(predicted: np.ndarray, true: np.ndarray, name: str) -> Figure:
    """True minus predicted values, with lines for the median and for nine rows of ten."""
    figure, axes = new_axes(4.8, 4.4)
    residuals = true - predicted
    _dots(axes, predicted, residuals)
    middles, low, median, high = residual_bands(predicted, residuals)
    axes.axhline(0, **line_style(1), lw=2, label="exact")
    axes.plot(middles, median, color=COLOURS[3], marker="o", ms=4, lw=2, label="median")
    for edge, label in ((low, None), (high, "9 of 10 rows lie between")):
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
