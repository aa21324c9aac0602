"""Which columns matter to a net: how much its loss rises when a column is shuffled among the rows."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from src.report.figures import ACCENT, name_rows, new_axes
from src.report.tables.columns import Column
from src.report.tables.net import TableNet, TableRows

NUM_SHUFFLES = 5
MAX_CELLS = 10**9  # that the net reads for all shuffles together: 4 s on one core of AMD Zen 4
MIN_COLUMNS = 25  # that are shuffled in any case
NUM_BINS = 10


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


def affordable(net: TableNet, columns: Sequence[Column], rows: TableRows) -> tuple[list[Column], list[Column], int]:
    """Choose what to shuffle, for a table of many columns not to take longer to report on than to train on.

    Returns:
        The columns to shuffle, those with the strongest relation to the predictions first; the others; and the number
        of rows to shuffle them in.
    """
    num_inputs = rows.categories.shape[1] + rows.continuous.shape[1]
    cells = NUM_SHUFFLES * num_inputs * len(rows)  # of each column
    if cells * len(columns) <= MAX_CELLS:
        return [*columns], [], len(rows)
    answers = net.answers(rows).numpy()
    related = {column.name: relation_to(answers, column, rows) for column in columns}
    ordered = sorted(columns, key=lambda column: -related[column.name])
    count = max(MIN_COLUMNS, MAX_CELLS // cells)
    num_rows = max(1, min(len(rows), MAX_CELLS // (NUM_SHUFFLES * num_inputs * min(count, len(columns)))))
    return ordered[:count], ordered[count:], num_rows


def relation_to(answers: np.ndarray, column: Column, rows: TableRows) -> float:
    """Return the share of the variance of some answers, (rows, outputs), that a column explains by itself.

    It is adjusted for the number of its values; of a date, it is that of its best part. What matters only together with
    other columns has none.
    """
    codes = [rows.categories[:, category.place].cpu().numpy() for category in column.categories]
    for number in column.numbers:
        values = rows.continuous[:, number.place].cpu().numpy()
        edges = np.unique(np.quantile(values, np.linspace(0, 1, NUM_BINS + 1)[1:-1]))
        flags = 0 if number.flag is None else rows.continuous[:, number.flag].cpu().numpy()
        codes.append((np.searchsorted(edges, values) + (NUM_BINS + 1) * flags).astype(np.int64))
    return max((_explained(answers, np.unique(groups, return_inverse=True)[1]) for groups in codes), default=0.0)


def _explained(answers: np.ndarray, groups: np.ndarray) -> float:
    counts = np.bincount(groups)
    means = np.stack([np.bincount(groups, weights=output) for output in answers.T], 1) / counts[:, None]
    total, rest = answers.var(0).sum(), (answers - means[groups]).var(0).sum()
    freedom = len(answers) - len(counts)
    return 1 - rest / total * (len(answers) - 1) / freedom if total and freedom > 0 else 0.0


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
