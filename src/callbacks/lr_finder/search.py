"""The result of a learning-rate search: curves, suggestions, their table, file and figure."""

import csv
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from src.callbacks.lr_finder.rules import RULES, Curve, check_readable, kernel_average, remarks
from src.core.files import staged
from src.report.figures import new_figure

# Okabe and Ito's colours, which colour-blind readers can tell apart, each with its own dashes.
STYLES: list[tuple[str, Any]] = [
    ("#D55E00", "solid"),
    ("#0072B2", "dashed"),
    ("#009E73", "dotted"),
    ("#CC79A7", "dashdot"),
    ("#E69F00", (0, (6, 2, 1, 2, 1, 2))),
]


@dataclass(frozen=True)
class LRSearch:
    """One curve for each repeat over the same ladder, and what each rule suggests.

    Args:
        curves: one for each repeat.
        rule: the rule whose suggestion counts.
        ladder: (rungs,), all rates, also those that no repeat reached.
        seconds: the time that the search took.

    Raises:
        UnreadableCurve: a ValueError; a curve is too short or too flat to be read.
    """

    curves: list[Curve]
    rule: str
    ladder: np.ndarray
    seconds: float

    def __post_init__(self) -> None:
        for curve in self.curves:
            check_readable(curve, self.ladder)

    @property
    def curve(self) -> Curve:
        """The first repeat's curve."""
        return self.curves[0]

    @cached_property
    def _by_repeat(self) -> dict[str, list[float]]:
        return {name: [rule(curve) for curve in self.curves] for name, rule in RULES.items()}

    @cached_property
    def suggestions(self) -> dict[str, float]:
        """Each rule's learning rate: the median of the repeats' logarithms, within the ladder.

        Rounded to three digits, which makes the rate that is used the rate that is shown.
        """
        medians = {name: np.exp(np.median(np.log(rates))) for name, rates in self._by_repeat.items()}
        low, high = self.ladder[0], self.ladder[-1]
        return {name: float(np.clip(float(f"{rate:.3g}"), low, high)) for name, rate in medians.items()}

    @property
    def suggestion(self) -> float:
        """The chosen rule's learning rate."""
        return self.suggestions[self.rule]

    @property
    def spread(self) -> dict[str, float]:
        """Each rule's largest suggestion divided by its smallest, among the repeats: 1 if they agree."""
        return {name: max(rates) / min(rates) for name, rates in self._by_repeat.items()}

    @property
    def remarks(self) -> list[str]:
        """Reasons to doubt the suggestions, and what to change."""
        return list(dict.fromkeys(remark for curve in self.curves for remark in remarks(curve, self.ladder)))

    def table(self) -> str:
        """A line for each suggestion, the chosen one first, with the spread if there are repeats."""
        steps = sum(len(curve.lrs) for curve in self.curves)
        end = "diverged" if len(self.curve.lrs) < len(self.ladder) else "to the end"
        lines = [f"lr finder: {steps} steps from {self.ladder[0]:.3g} up to {self.curve.lrs[-1]:.3g} ({end})"]
        lines[0] += f", {self.seconds:.1f} s"
        names = sorted(self.suggestions, key=lambda name: name != self.rule)
        for name in names:
            mark = "  <- suggested" if name == self.rule else ""
            spread = f"   x {self.spread[name]:.2f} over {len(self.curves)} repeats" if len(self.curves) > 1 else ""
            lines.append(f"  {name:12}{self.suggestions[name]:.2e}{spread}{mark}")
        return "\n".join([*lines, *(f"  note: {remark}" for remark in self.remarks)])

    def plot(self) -> Figure:
        """The curves with all suggestions."""
        return draw_search(self.curves, self.ladder, self.suggestions, self.rule)

    def write(self, path: Path) -> None:
        """Write the curves as CSV: repeat, step, lr, loss, smoothed."""
        with staged(path) as name, name.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["repeat", "step", "lr", "loss", "smoothed"])
            for repeat, curve in enumerate(self.curves):
                rows = zip(curve.lrs.tolist(), curve.losses.tolist(), curve.smoothed.tolist(), strict=True)
                writer.writerows([repeat, step, *row] for step, row in enumerate(rows))


def draw_search(curves: list[Curve], ladder: np.ndarray, suggestions: dict[str, float], rule: str) -> Figure:
    """Each step's loss as a dot, the smoothed loss as a line, each suggestion as a vertical line.

    The rates at which the loss diverged are shaded. Several curves are drawn as their mean, within a band from the
    lowest to the highest.
    """
    figure = new_figure(8.5, 4.5)
    axes = figure.add_axes((0.08, 0.12, 0.6, 0.82))
    shortest = min(len(kernel_average(curve)) for curve in curves)
    lrs, smoothed = ladder[:shortest], np.stack([kernel_average(curve)[:shortest] for curve in curves])
    for number, curve in enumerate(curves):
        axes.plot(curve.lrs, curve.losses, ".", color="0.7", ms=4, label="" if number else "loss of a step")
    if len(curves) > 1:
        label = f"lowest to highest of {len(curves)}"
        axes.fill_between(lrs, smoothed.min(0), smoothed.max(0), color="black", alpha=0.2, lw=0, label=label)
    axes.plot(lrs, smoothed.mean(0), color="black", lw=2, label="smoothed")
    average = np.mean([curve.smoothed[:shortest] for curve in curves], axis=0)
    axes.plot(lrs, average, color="0.5", lw=1, ls=(0, (1, 1)), label="running average")
    for (name, lr), (color, dashes) in zip(suggestions.items(), STYLES, strict=True):
        is_chosen = name == rule
        label = f"{name}  {lr:.2g}{'  (suggested)' if is_chosen else ''}"
        axes.axvline(lr, color=color, ls=dashes, lw=3 if is_chosen else 1.5, label=label)
    _frame(axes, ladder, smoothed)
    figure.legend(*axes.get_legend_handles_labels(), loc="upper left", bbox_to_anchor=(0.69, 0.95), frameon=False)
    return figure


def _frame(axes: Axes, ladder: np.ndarray, smoothed: np.ndarray) -> None:
    """Scale the axes to the fall of the loss; shade the rates at which the loss is above its start again."""
    start, low = float(smoothed[:, 0].max()), float(smoothed.min())
    height = max(start - low, 1e-12)
    top = start + 0.3 * height
    lowest = int(np.argmin(smoothed.mean(0)))
    above = np.flatnonzero(smoothed.mean(0)[lowest:] > start)
    diverged = lowest + int(above[0]) if len(above) else smoothed.shape[1] - 1
    if diverged < len(ladder) - 1:
        axes.axvspan(ladder[diverged], ladder[-1], color="0.9", lw=0, label="diverged")
    is_exponential = np.isclose(ladder[1] / ladder[0], ladder[-1] / ladder[-2])
    axes.set(xscale="log" if is_exponential else "linear", xlim=(ladder[0], ladder[-1]))
    axes.set(ylim=(low - 0.2 * height, top), xlabel="learning rate", ylabel="loss")
    axes.spines[["top", "right"]].set_visible(False)
