"""How a training went: the curves of a run's metrics.csv over its steps."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from src.report.figures import line_style, new_figure, without_box
from src.report.logged import logged_numbers
from src.report.parts import Plot, Section
from src.report.wording import metric_title

MAX_POINTS = 500  # of a line: more cannot be seen
EXACT = ("lr", "momentum", "memory/mb")  # not to be smoothed
HOW_TO_READ = {
    "val/loss": "What training lowers: the error on the rows the net learns from, and on held-out rows. If the "
    "held-out curve rises while the other falls, the net memorises its rows (overfitting).",
    "train/lr": "The learning rate of the last layer group: the size of each step, set by the schedule.",
    "train/momentum": "The share of the previous steps that each step repeats (for Adam: its first beta).",
    "train/grad_norm": "The length of the gradient before clipping. Peaks far above the rest can make the training "
    "unstable: clip the gradient, or lower the learning rate.",
    "_per_second": "Training speed in rows or tokens, without the validation.",
    "memory/mb": "The highest memory use so far. It should level off; if it keeps rising, something is kept from step "
    "to step by mistake.",
}
TITLES = {
    "train/lr": "Learning rate",
    "train/momentum": "Momentum",
    "train/grad_norm": "Gradient norm",
    "train/samples_per_second": "Speed, samples per second",
    "train/tokens_per_second": "Speed, tokens per second",
    "memory/mb": "Memory, MB",
}


def training_curves(path: Path, monitor: str) -> Section | None:
    """A section with a curve for each number of a metrics.csv; None if a run has logged nothing yet.

    monitor: the score that chooses the best checkpoint; its curve comes first after the loss.
    """
    table = logged_numbers(path)
    table = table.loc[table.filter(like="test/").isna().all(axis=1)]  # a test comes after the training
    scores = [name for name in table if str(name).startswith("val/") and name not in ("val/loss", monitor)]
    names = ["val/loss", *[monitor] * (monitor != "val/loss"), *scores, *TITLES]
    plots = [plot for name in names if (plot := _plot(table, str(name))) is not None]
    if not plots:
        return None
    steps = 1 + table["step"].to_numpy().max()
    epochs = 1 + np.nanmax(table["epoch"].to_numpy(), initial=-1) if "epoch" in table else 0
    length = f" in {epochs:.0f} epoch{'s' if epochs > 1 else ''}" if epochs else ""
    return Section("How the training went", plots, f"{steps:,.0f} steps{length}; the horizontal axes count steps.")


def _plot(table: pd.DataFrame, name: str) -> Plot | None:
    """The curve of a number; a validation score is drawn with its training counterpart."""
    train = name.replace("val/", "train/")
    names = {"training": train} if train == name else {"training": train, "validation": name}
    lines = {label: _column(table, name) for label, name in names.items()}
    lines = {label: values for label, values in lines.items() if len(values)}
    if not lines:
        return None
    title = TITLES.get(name, metric_title(name.partition("/")[2]))
    title = f"{title}, validation" if "training" not in lines else title
    ends = (f"{label} from {values.iloc[0]:.4g} to {values.iloc[-1]:.4g}" for label, values in lines.items())
    note = next((text for key, text in HOW_TO_READ.items() if name.endswith(key)), "")
    return Plot(title, _figure(lines, name), f"{title} over the steps: {', '.join(ends)}.", note)


def _column(table: pd.DataFrame, name: str) -> pd.Series:
    return pd.Series(table[name].to_numpy(), table["step"]).dropna() if name in table else pd.Series(dtype=float)


def _figure(lines: dict[str, pd.Series], name: str) -> Figure:
    figure = new_figure(4.6, 2.7)
    axes = figure.add_axes((0.15, 0.17, 0.82, 0.78))
    for number, (label, values) in enumerate(lines.items()):
        _draw_line(axes, values, number, label, is_noisy=not name.endswith(EXACT))
    if name.endswith(("loss", "grad_norm")) and spans_decades(list(lines.values())):
        axes.set_yscale("log")
    if name.endswith(("memory/mb", "_per_second")):
        axes.set_ylim(0, 1.1 * axes.get_ylim()[1])
    axes.set_xlabel("step")
    if len(lines) > 1:
        axes.legend(frameon=False)
    without_box(axes)
    return figure


def _draw_line(axes: Axes, values: pd.Series, number: int, label: str, is_noisy: bool) -> None:
    """Draw a line; if it is noisy and long, its points faint and their running average strong."""
    style, smooth = line_style(number), values
    if is_noisy and len(values) > 30:
        raw = thinned(values)
        axes.plot(raw.index, raw.to_numpy(), color=style["color"], lw=0.8, alpha=0.35)
        smooth = values.ewm(span=len(values) / 15).mean()
    smooth = thinned(smooth)
    marker = "o" if len(values) <= 20 else ""
    axes.plot(smooth.index, smooth.to_numpy(), **style, lw=1.8, marker=marker, ms=3.5, label=label)


def spans_decades(lines: Sequence[pd.Series]) -> bool:
    """Whether positive values differ more than 50-fold: on a linear axis the small ones would lie on the axis."""
    lowest, highest = min(values.min() for values in lines), max(values.max() for values in lines)
    return lowest > 0 and highest / lowest > 50


def thinned(values: Any) -> Any:
    """At most MAX_POINTS of a series or frame, evenly spread, with the first and the last."""
    if len(values) <= MAX_POINTS:
        return values
    return values.iloc[np.linspace(0, len(values) - 1, MAX_POINTS).round().astype(int)]
