"""The suite's results: a row for each table, a row for each model, and a picture."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from scripts.benchmark_tables.suite import SUITE
from scripts.shared.markdown import markdown_table
from src.report.figures import marker_style, new_figure

AT_RIGHT: dict[str, Any] = {"ha": "right", "va": "center", "fontsize": 9}


def mean_scores(results: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return the mean score over the seeds: a row for each table, a column for each model that has been on all."""
    scores = pd.DataFrame(results).pivot_table(index="table", columns="model", values="score", sort=False)
    return scores.dropna(axis=1)


def errors(scores: pd.DataFrame) -> pd.DataFrame:
    """Turn scores into what is to be small: RMSE as it is, AUROC as its distance from 1."""
    is_rmse = pd.Series({name: SUITE[name].score == "rmse" for name in scores.index})
    return scores.where(is_rmse, 1 - scores)


def ranks(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the rank of each model on each table, 1 for the best; equal scores share the middle of their ranks."""
    return errors(scores).rank(axis=1)


def shortfalls(scores: pd.DataFrame, constants: dict[str, float]) -> pd.DataFrame:
    """Return how far each model is behind the best on each table: 0 the best, 1 no better than a constant.

    Args:
        scores: by table and model.
        constants: the error of the best constant on each table, in the sense of `errors`.
    """
    found = errors(scores)
    best, constant = found.min(axis=1), pd.Series(constants).reindex(found.index)
    return found.sub(best, axis=0).div(constant - best, axis=0)


def by_table(scores: pd.DataFrame) -> str:
    """Write the mean scores, a row for each table."""
    values_of = {str(name): values for name, values in scores.T.to_dict("list").items()}
    rows = [[f"{name}, {SUITE[name].score}", *(f"{v:.4g}" for v in values)] for name, values in values_of.items()]
    return markdown_table(["table, score", *scores.columns], rows, aligned=True)


def by_model(scores: pd.DataFrame, constants: dict[str, float], results: Sequence[dict[str, Any]]) -> str:
    """Write a row for each model: mean rank, shortfall in the mean and at worst, seconds of a training."""
    behind, rank = shortfalls(scores, constants), ranks(scores).mean()
    seconds: Any = pd.DataFrame(results).groupby("model")["seconds"].mean()
    rows = [
        [name, f"{rank[name]:.2f}", f"{behind[name].mean():.1%}", f"{behind[name].max():.1%}", f"{seconds[name]:.1f}"]
        for name in sorted(map(str, scores.columns), key=rank.to_dict().__getitem__)
    ]
    head = ["model", "mean rank", "behind the best", "at worst", "seconds"]
    return markdown_table(head, rows, aligned=True)


def draw(scores: pd.DataFrame, constants: dict[str, float]) -> Figure:
    """Draw how far each model is behind the best of its table: a line for each table, a dot for each model.

    What is no better than a constant would stretch the axis, so it has words in place of a dot.
    """
    found = shortfalls(scores, constants)
    behind = 100 * found.where(found < 1)
    figure = new_figure(7.5, 1.4 + 0.42 * len(behind))
    figure.set_layout_engine("constrained")
    axes = figure.subplots()
    for number, name in enumerate(behind.columns):
        style = {**marker_style(number), "linestyle": "", "alpha": 0.8}
        axes.plot(behind[name], range(len(behind)), **style, markersize=7, label=name)
    for line, (_, row) in enumerate(found.iterrows()):
        if worse := ", ".join(str(name) for name, value in row.items() if value >= 1):
            axes.text(
                1, line + 0.32, f"{worse}: no better than a constant ", transform=axes.get_yaxis_transform(), **AT_RIGHT
            )
    axes.set_yticks(range(len(behind)), list(behind.index))
    axes.set_ylim(len(behind) - 0.5, -0.5)
    axes.set_xlabel("behind the best of the table, in % of the best's distance from a constant")
    axes.grid(color="0.9")
    axes.set_axisbelow(True)
    figure.legend(loc="outside upper center", ncols=4, frameon=False)
    return figure
