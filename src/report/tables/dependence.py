"""How a net's prediction depends on one column: the mean prediction when all rows get the same value there."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from src.report.figures import ACCENT, add_legend, line_style, marker_style, name_rows, new_figure, without_box
from src.report.tables.columns import Category, Column, Number
from src.report.tables.net import TableNet, TableRows

NUM_ROWS = 400  # that get each value
NUM_SINGLE = 15  # of these rows, drawn as thin lines
NUM_POINTS = 21
MAX_CATEGORIES = 12
MIN_SHOWN = 0.9  # the share of the rows that these categories must have, for a part of a date to be shown well
MAX_LINES = 6  # classes in a panel
MAX_PANELS = 3  # one for each target


@dataclass(frozen=True)
class Dependence:
    """What a net predicts when a column has the same value in all rows.

    Attributes:
        part: the input that is shown; of a date, one of its parts.
        values: in the table's units, or texts of categories.
        predictions: (values, rows, classes or targets).
        weights: the share of the rows that have each category; equal for numbers, which are quantiles.
        spread: the numbers of all rows between the lowest and the highest value.
    """

    column: Column
    part: Category | Number
    values: np.ndarray
    predictions: np.ndarray
    weights: np.ndarray
    spread: np.ndarray

    @property
    def variation(self) -> float:
        """The variance of the mean prediction over the values, by their weights."""
        means = self.predictions.mean(1)
        return float(np.average((means - np.average(means, 0, self.weights)) ** 2, 0, self.weights).sum())


def dependence_on(net: TableNet, column: Column, rows: TableRows) -> Dependence:
    """The dependence on a column; on the part of a date that changes most, preferring parts with few values.

    All inputs of the column are taken together from a row that has the value: the other parts of a date fit it.
    Source: Friedman 2001, "Greedy function approximation", section 8.2; Goldstein et al. 2015, arXiv:1309.6392.
    """
    parts = column.categories or column.numbers
    found = [_dependence(net, column, part, rows) for part in parts]
    return max(found, key=lambda one: (one.weights.sum() > MIN_SHOWN, one.variation))


def _dependence(net: TableNet, column: Column, part: Category | Number, rows: TableRows) -> Dependence:
    base, random = rows.evenly(NUM_ROWS), np.random.default_rng(0)
    found = _numbers(part, rows) if isinstance(part, Number) else _categories(part, rows)
    values, givers, weights, spread = found
    chosen = (random.choice(having, len(base)) for having in givers)
    predictions = [net.predictions(base.with_column(column, rows.take(places))) for places in chosen]
    return Dependence(column, part, values, np.stack(predictions), weights, spread)


def _numbers(part: Number, rows: TableRows) -> tuple[np.ndarray, list[np.ndarray], np.ndarray, np.ndarray]:
    """Quantiles, the rows that have each of them, equal weights, and the values between the ends."""
    scaled = rows.continuous.cpu().numpy()
    there = np.flatnonzero(scaled[:, part.flag] != 1) if part.flag is not None else np.arange(len(rows))
    there = there if len(there) else np.arange(len(rows))  # all are missing
    known = scaled[there, part.place]
    levels = np.unique(np.quantile(known, np.linspace(0.01, 0.99, NUM_POINTS), method="nearest"))
    givers = [there[known == level] for level in levels]
    within = known[(known >= levels[0]) & (known <= levels[-1])]
    return part.original(levels), givers, np.ones(len(levels)), part.original(within)


def _categories(part: Category, rows: TableRows) -> tuple[np.ndarray, list[np.ndarray], np.ndarray, np.ndarray]:
    """The most frequent categories, the rows that have each of them, and their shares."""
    codes = rows.categories[:, part.place].cpu().numpy()
    found, counts = np.unique(codes, return_counts=True)
    frequent = found[np.argsort(-counts, kind="stable")[:MAX_CATEGORIES]]
    givers = [np.flatnonzero(codes == code) for code in frequent]
    texts = np.array([part.texts[code] for code in frequent], dtype=object)
    return texts, givers, np.array([len(having) / len(rows) for having in givers]), np.empty(0)


def draw_dependence(found: Dependence, net: TableNet) -> Figure:
    """A panel for each target, or one for the classes; below or beside it, where the rows lie."""
    draw = _draw_numbers if isinstance(found.part, Number) else _draw_categories
    return draw(found, net, _panels(found, net))


def _panels(found: Dependence, net: TableNet) -> list[list[int]]:
    """The classes or targets in each panel."""
    if net.is_regression:
        return [[target] for target in range(min(len(net.names), MAX_PANELS))]
    if net.is_binary:
        return [[1]]
    return [np.sort(np.argsort(-found.predictions.mean((0, 1)), kind="stable")[:MAX_LINES]).tolist()]


def _axis_label(net: TableNet, shown: Sequence[int]) -> str:
    if net.is_regression:
        return f"predicted {net.names[shown[0]]}"
    return f"probability of {net.target} {net.names[shown[0]]}" if len(shown) == 1 else "probability"


def _draw_numbers(found: Dependence, net: TableNet, panels: list[list[int]]) -> Figure:
    figure = new_figure(4.8 if len(panels) == 1 else 3.3 * len(panels), 3.7, layout="constrained")
    grid = figure.subplots(2, len(panels), sharex=True, squeeze=False, height_ratios=(4, 1))
    for (upper, lower), shown in zip(grid.T, panels, strict=True):
        for number, output in enumerate(shown):
            predictions = found.predictions[:, :, output]
            if len(shown) == 1:
                singles = predictions[:, :: -(-predictions.shape[1] // NUM_SINGLE)]
                upper.plot(found.values, singles, color=ACCENT, lw=0.7, alpha=0.35)
            style = {"marker": "o", "ms": 3.5, "lw": 2.5 if len(shown) == 1 else 1.8}
            upper.plot(found.values, predictions.mean(1), **line_style(number), **style, label=net.names[output])
        if len(shown) > 1:
            add_legend(upper, fontsize=8)
        upper.set_ylabel(_axis_label(net, shown))
        lower.hist(found.spread, bins=30, color=ACCENT, alpha=0.6)
        lower.set_ylabel("rows", fontsize=8)
        lower.tick_params(axis="y", labelsize=7)
        lower.locator_params("y", nbins=3, integer=True)
        lower.set_xlabel(found.part.name)
        without_box(upper)
        without_box(lower)
    return figure


def _draw_categories(found: Dependence, net: TableNet, panels: list[list[int]]) -> Figure:
    order = _order(found, panels[0][0])
    values, places = found.values[order].tolist(), np.arange(len(order))
    width = 4.8 if len(panels) == 1 else 1.6 + 2.6 * len(panels)
    figure = new_figure(width, 1.2 + 0.24 * len(order), layout="constrained")
    *rest, last = figure.subplots(1, len(panels) + 1, sharey=True, width_ratios=[3] * len(panels) + [1])
    for axes, shown in zip(rest, panels, strict=True):
        for number, output in enumerate(shown):
            predictions = found.predictions[order, :, output]
            if len(shown) == 1:
                low, high = np.quantile(predictions, (0.1, 0.9), axis=1)
                axes.hlines(places, low, high, color=ACCENT, alpha=0.35, lw=4)
            axes.plot(predictions.mean(1), places, **marker_style(number), ms=7, label=net.names[output])
        if len(shown) > 1:
            beside = 6 if sum(len(net.names[output]) for output in shown) < 30 else 2
            add_legend(axes, fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=beside, columnspacing=1)
        _finish(axes, _axis_label(net, shown), values)
    last.barh(places, 100 * found.weights[order], color=ACCENT, alpha=0.6)
    _finish(last, "% of rows", values)
    return figure


def _finish(axes: Axes, label: str, values: Sequence[str]) -> None:
    axes.set_xlabel(label)
    name_rows(axes, values)
    axes.grid(axis="y", alpha=0.25)
    axes.set_axisbelow(True)
    without_box(axes)


def _order(found: Dependence, output: int) -> list[int]:
    """The order of numbers, such as months; for other categories, from the highest mean prediction to the lowest."""
    try:
        keys = [math.inf if value.startswith("<") else float(value) for value in found.values]
    except ValueError:
        keys = [-mean for mean in found.predictions[:, :, output].mean(1)]
    return sorted(range(len(keys)), key=keys.__getitem__)
