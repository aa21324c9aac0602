"""Which columns a net goes by: how much worse it does when a column is shuffled among the rows."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from src.report.figures import ACCENT, new_figure, without_box
from src.report.tables.columns import Column
from src.report.tables.labels import name_rows
from src.report.tables.net import TableNet, TableRows

NUM_SHUFFLES = 5


class Importance(NamedTuple):
    """How much the loss rises when a column is shuffled: the mean over the shuffles, and their deviation."""

    column: Column
    rise: float
    deviation: float


def importances_of(net: TableNet, columns: Sequence[Column], rows: TableRows) -> list[Importance]:
    """That of each column, the highest first. What is made of one column, as the parts of a date, is shuffled together.

    Source: Breiman 2001, "Random forests", section 10. scikit-learn's permutation_importance shuffles one column of the
    inputs at a time, and would take a date apart.
    """
    random = np.random.default_rng(0)
    before = net.losses(rows).mean()
    found = []
    for column in columns:
        shuffled = (rows.with_column(column, rows.take(random.permutation(len(rows)))) for _ in range(NUM_SHUFFLES))
        rises = np.array([net.losses(changed).mean() - before for changed in shuffled])
        found.append(Importance(column, float(rises.mean()), float(rises.std())))
    return sorted(found, key=lambda importance: -importance.rise)


def draw_importances(importances: Sequence[Importance]) -> Figure:
    """A bar for each column, the highest on top, with a line of one deviation to either side."""
    figure = new_figure(6.6, 0.9 + 0.27 * len(importances))
    figure.set_layout_engine("constrained")
    axes = figure.add_subplot()
    axes.barh(
        range(len(importances)),
        [importance.rise for importance in importances],
        xerr=[importance.deviation for importance in importances],
        color=ACCENT,
        alpha=0.85,
        error_kw={"elinewidth": 1.5, "capsize": 3},
    )
    name_rows(axes, [importance.column.name for importance in importances])
    axes.axvline(0, lw=0.8, color="#000000")
    axes.set_xlabel("how much the loss rises when the column is shuffled")
    without_box(axes)
    return figure
