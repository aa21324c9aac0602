"""The comparison's results as a table and a figure."""

import math
import statistics
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure

from scripts.shared.markdown import markdown_table
from src.report.figures import marker_style, new_figure

FEATURES = ("codes", "native", "targets", "embeddings")
Cells = dict[str, dict[str, tuple[float, float]]]  # mean and spread, by model and features


def summary(results: Sequence[dict[str, Any]], score: str) -> Cells:
    """Take mean and standard deviation over the seeds, by model and features; the net comes last."""
    cells: Cells = {}
    for model in sorted(dict.fromkeys(r["model"] for r in results), key="net".__eq__):
        for features in FEATURES:
            values = [r[f"test/{score}"] for r in results if (r["model"], r["features"]) == (model, features)]
            if values:
                cells.setdefault(model, {})[features] = (statistics.mean(values), statistics.pstdev(values))
    return cells


def summary_table(cells: Cells, score: str, num_seeds: int) -> str:
    """Write a row for each model, 80 columns wide at most."""
    rows = [
        [model, *(as_text(*row[name], num_seeds) if name in row else "-" for name in FEATURES)]
        for model, row in cells.items()
    ]
    return markdown_table([f"test/{score}", *FEATURES], rows, aligned=True)


def as_text(mean: float, std: float, num_seeds: int) -> str:
    """Write mean and deviation with four digits of the mean, as 0.0707±0.0004."""
    digits = max(0, 3 - math.floor(math.log10(abs(mean)))) if mean else 0
    return f"{mean:.{digits}f}" + (f"±{std:.{digits}f}" if num_seeds > 1 else "")


def draw_scores(cells: Cells, results: Sequence[dict[str, Any]], score: str) -> Figure:
    """Draw a line for each model: a dot for each kind of features, and small ones for its seeds."""
    figure = new_figure(7, 1.2 + 0.55 * len(cells))
    figure.set_layout_engine("constrained")
    axes = figure.subplots()
    for number, features in enumerate(FEATURES):
        shift, style = 0.16 * number - 0.24, {**marker_style(number), "markeredgewidth": 0}
        means = [(row[features][0], line + shift) for line, row in enumerate(cells.values()) if features in row]
        axes.plot(*zip(*means, strict=True), **style, markersize=8, label=features)
        lines = {model: line + shift for line, model in enumerate(cells)}
        seeds = [(r[f"test/{score}"], lines[r["model"]]) for r in results if r["features"] == features]
        axes.plot(*zip(*seeds, strict=True), **style, markersize=4, alpha=0.4)
    axes.set_yticks(range(len(cells)), list(cells))
    axes.set_ylim(len(cells) - 0.5, -0.5)
    axes.set_xlabel(f"test/{score} ({'more' if score == 'auroc' else 'less'} is better)")
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    figure.legend(loc="outside upper center", ncols=len(FEATURES), frameon=False)
    return figure
