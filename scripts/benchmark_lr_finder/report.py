"""Tables and a figure of what the finders' suggestions cost."""

import math
import statistics
from typing import Any

from matplotlib.figure import Figure

from scripts.benchmark_lr_finder.outcomes import Grids, Outcome, Outcomes
from scripts.shared.markdown import markdown_table
from src.report.figures import BLACK, COLOURS, new_figure

COLOURS_OF_RULES = (*COLOURS, BLACK)


def summary(of_tasks: dict[str, Outcome]) -> dict[str, float | int | None]:
    """Sum up a rule over all tasks."""
    regrets = [one.regret for one in of_tasks.values()]
    spreads = [one.spread for one in of_tasks.values() if one.spread is not None]
    numbers = {
        "median_regret": statistics.median(regrets),
        "worst_regret": max(regrets),
        "spread": max(spreads, default=None),
        "median_spread": statistics.median(spreads) if spreads else None,
    }
    rounded = {name: value if value is None else round(value, 4) for name, value in numbers.items()}
    return rounded | {"failed_searches": sum(one.failed for one in of_tasks.values())}


def tables(outcomes: Outcomes, grids: Grids) -> list[str]:
    """Write two tables: a row for each rule, and a row for each task."""
    by_rule = []
    for rule, of_tasks in outcomes.items():
        row = summary(of_tasks)
        regrets = [f"{row[name]:.1%}" for name in ("median_regret", "worst_regret")]
        spreads = ["-" if row[name] is None else row[name] for name in ("median_spread", "spread")]
        by_rule.append([rule, *regrets, *spreads, row["failed_searches"]])
    by_task = []
    for task, losses in grids.items():
        regrets = [f"{100 * of_tasks[task].regret:.1f}" for of_tasks in outcomes.values()]
        by_task.append([task, f"{_best(losses):.2g}", *regrets])
    heads = ["rule", "median regret", "worst", "median spread", "worst", "failed searches"]
    return [
        markdown_table(heads, by_rule, aligned=True),
        markdown_table(["task, regret in %", "best lr", *outcomes], by_task, aligned=True),
    ]


def _best(losses: dict[float, float]) -> float:
    return min(losses, key=losses.__getitem__)


def draw_outcomes(outcomes: Outcomes, grids: Grids) -> Figure:
    """Draw for each task its losses by rate, and below them each rule's suggestions, of all seeds."""
    columns, rows = min(3, len(grids)), math.ceil(len(grids) / 3)
    figure = new_figure(4.2 * columns + 1, 3.4 * rows + 0.4)
    figure.set_layout_engine("constrained")
    panels = figure.subplots(2 * rows, columns, height_ratios=[5, 4] * rows, squeeze=False)
    for place, (task, losses) in enumerate(grids.items()):
        row, column = divmod(place, columns)
        upper, lower = panels[2 * row, column], panels[2 * row + 1, column]
        rates = {rule: of_tasks[task].rates for rule, of_tasks in outcomes.items()}
        limits = min(losses) / 30, max(losses) * 3
        _draw_losses(upper, losses)
        upper.set_title(task)
        _draw_suggestions(lower, rates, limits, names=list(outcomes) if column == 0 else [])
        for axes in (upper, lower):
            axes.set(xscale="log", xlim=limits)
            axes.axvline(_best(losses), color="0.7", linewidth=1, zorder=0)
    for axes in panels.flat:
        axes.set_visible(axes.has_data())
    figure.supxlabel("peak learning rate (line: the best of the grid; dots at an edge lie beyond it)")
    figure.supylabel("final validation loss; suggestions of all search seeds")
    return figure


def _draw_losses(axes: Any, losses: dict[float, float]) -> None:
    best = min(losses.values())
    axes.plot(list(losses), list(losses.values()), color="0.3", marker=".")
    axes.set_ylim(0.9 * best, min(3 * best, 1.05 * max(losses.values())))
    axes.tick_params(labelbottom=False)


def _draw_suggestions(
    axes: Any, by_rule: dict[str, list[float]], limits: tuple[float, float], names: list[str]
) -> None:
    left, right = limits
    for line, (rates, colour) in enumerate(zip(by_rule.values(), COLOURS_OF_RULES, strict=False)):
        inside = [min(max(rate, left), right) for rate in rates]
        axes.scatter(inside, [line] * len(rates), s=22, color=colour, alpha=0.7, clip_on=False)
    axes.set_yticks(range(len(by_rule)), names, fontsize=8)
    axes.set_ylim(len(by_rule) - 0.5, -0.5)
