"""Which columns matter to a net: how much its loss rises when a column is shuffled among the rows."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from src.report.figures import ACCENT, name_rows, new_axes
from src.report.tables.columns import Column
from src.report.tables.net import TableNet, TableRows

NUM_SHUFFLES = 5


class Importance(NamedTuple):
    """How much the loss rises when a column is shuffled: mean and standard deviation over the shuffles."""

    column: Column
    rise: float
    deviation: float


def importances_of(net: TableNet, columns: Sequence[Column], rows: TableRows) -> list[Importance]:
    """The importance of each column, the highest first. The parts of a date are shuffled together.

    scikit-learn's permutation_importance shuffles one input at a time: it would take a date apart.
    Source: Breiman 2001, "Random forests", section 10.
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
    """A bar for each column, the first on top, with a line of one standard deviation to either side."""
    figure, axes = new_axes(6.6, 0.9 + 0.27 * len(importances))
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
    axes.set_xlabel("rise of the loss when the column is shuffled")
    return figure
