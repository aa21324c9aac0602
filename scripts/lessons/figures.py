"""The parts of the lessons' figures: scores against what was varied, curves, dots."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scripts.lessons.bench import Job, over_seeds
from src.report.figures import ACCENT, line_style, marker_style, new_figure, without_box


def panels(count: int, height: float = 3.2) -> tuple[Figure, list[Axes]]:
    """Make a figure of `count` panels side by side, 10 inches wide at most."""
    figure = new_figure(min(4.0 * count, 10.0), height)
    figure.set_layout_engine("constrained")
    axes = list(figure.subplots(1, count, squeeze=False)[0])
    for one in axes:
        without_box(one)
    return figure, axes


def draw_line(axes: Axes, number: int, xs: Sequence[float], points: Sequence[tuple[float, float]], label: str) -> None:
    """Draw means and deviations over the seeds as a line with bars; `number` chooses colour, dashes and marker."""
    means, deviations = zip(*points, strict=True)
    look = {**marker_style(number), **line_style(number)}
    axes.errorbar(xs, means, deviations, markersize=5, capsize=3, elinewidth=1, label=label, **look)


def draw_scores(axes: Sequence[Axes], jobs: Sequence[Job], scores: Mapping[str, str], name: str) -> dict[str, Any]:
    """Draw each score in a panel of its own against the settings, which are numbers; returns the means."""
    numbers = {score: over_seeds(jobs, score) for score in scores}
    for one, (score, title) in zip(axes, scores.items(), strict=True):
        xs = [float(setting) for setting in numbers[score]]
        draw_line(one, 0, xs, list(numbers[score].values()), label="")
        mark_sizes(one, xs, name)
        one.set_title(title)
    return numbers


def mark_sizes(axes: Axes, sizes: Sequence[float], name: str) -> None:
    """Label an axis of sizes that double, or nearly so, with each size."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [f"{size:g}" for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel(name)


def draw_dots(axes: Axes, jobs: Sequence[Job], score: str, title: str) -> dict[str, tuple[float, float]]:
    """Draw a dot for each seed and a bar at their mean, for each setting; returns the means."""
    means = over_seeds(jobs, score)
    places = {setting: place for place, setting in enumerate(means)}
    axes.plot([places[job.setting] for job in jobs], [job.scores[score] for job in jobs], "o", color=ACCENT, alpha=0.6)
    for place, (mean, _) in enumerate(means.values()):
        axes.hlines(mean, place - 0.25, place + 0.25, color=ACCENT, lw=2)
        axes.annotate(f"{mean:.3g}" if mean < 1000 else f"{mean:,.0f}", (place + 0.28, mean), va="center")
    axes.set_xticks(range(len(means)), list(means))
    axes.set(xlim=(-0.5, len(means) - 0.2), title=title)
    axes.margins(y=0.2)
    return means


def draw_curves(axes: Axes, jobs: Iterable[Job], metric: str, title: str) -> None:
    """Draw a metric's course: each setting's mean over the seeds, in a band from the lowest to the highest."""
    groups: dict[str, list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.setting, []).append(job)
    for number, (setting, group) in enumerate(groups.items()):
        curves = [job.curve(metric) for job in group]
        length = min(len(steps) for steps, _ in curves)
        values = np.array([values[:length] for _, values in curves])
        steps = curves[0][0][:length]
        axes.plot(steps, values.mean(0), label=setting, **line_style(number))
        axes.fill_between(steps, values.min(0), values.max(0), color=line_style(number)["color"], alpha=0.15, lw=0)
    axes.set(xlabel="steps", title=title)
