"""The result of a bptt search: what each length costs, which limit it breaks, and the suggestion."""

import csv
import math
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from src.core.files import staged
from src.report.figures import new_figure

MIN_EPOCH_STEPS = 100  # fewer are remarked on
MIN_RUNGS = 3  # needed to predict memory
# Okabe and Ito's colours, which colour-blind readers can tell apart.
MEASURED, SUGGESTED, LIMIT = "black", "#0072B2", "#D55E00"


@dataclass(frozen=True)
class Limits:
    """What a length must meet.

    Attributes:
        memory_mb: the highest peak; None for any.
        max_growth: the largest gradient norm, divided by that of the shortest length.
        min_speed: tokens a second, divided by those of the fastest length that fits and is stable.
    """

    memory_mb: float | None
    max_growth: float
    min_speed: float


@dataclass(frozen=True)
class Rung:
    """What a few training steps with one bptt showed.

    Attributes:
        bptt: the length of the windows.
        steps_per_epoch: optimizer steps; infinite if unknown.
        memory_mb: the peak.
        losses: of all steps, the warm-up step included.
        gradient_norms: of all steps.
        tokens_per_second: the median of the timed steps; NaN without any.
        step_s: the median of the timed steps; NaN without any.
        failure: why it could not take its steps; empty if it could.
    """

    bptt: int
    steps_per_epoch: float
    memory_mb: float
    losses: tuple[float, ...] = ()
    gradient_norms: tuple[float, ...] = ()
    tokens_per_second: float = math.nan
    step_s: float = math.nan
    failure: str = ""


@dataclass(frozen=True)
class BPTTSearch:
    """Rungs of increasing bptt, as far as the search went, judged by the limits.

    Attributes:
        rungs: of the lengths that were tried.
        ladder: all lengths.
        limits: what a length must meet.
        seconds: the time that the search took.
    """

    rungs: list[Rung]
    ladder: list[int]
    limits: Limits
    seconds: float = math.nan

    def growth(self, rung: Rung) -> float:
        """The largest gradient norm divided by that of the shortest length; both start from the same weights."""
        first = max(self.rungs[0].gradient_norms, default=math.nan)
        return max(rung.gradient_norms, default=math.nan) / max(first, sys.float_info.min)

    def objection(self, rung: Rung) -> str:
        """Which limit a length breaks, in a few words, except for speed; empty if none."""
        max_mb = self.limits.memory_mb
        if rung.failure:
            return rung.failure
        if rung.steps_per_epoch <= 1:
            return "an epoch is one step"
        if max_mb is not None and rung.memory_mb > max_mb:
            return f"above {max_mb:,.0f} MB"
        if not all(map(math.isfinite, rung.losses)):
            return "loss not finite"
        if not rung.gradient_norms or not all(map(math.isfinite, rung.gradient_norms)):
            return "gradient not finite"
        if self.growth(rung) > self.limits.max_growth:
            return f"gradient above x {self.limits.max_growth:g}"
        return ""

    @cached_property
    def verdicts(self) -> list[str]:
        """Which limit each rung breaks, speed included; empty if none."""
        found = [self.objection(rung) for rung in self.rungs]
        speeds = [rung.tokens_per_second for rung, objection in zip(self.rungs, found, strict=True) if not objection]
        slowest = self.limits.min_speed * max(speeds, default=0.0)
        slow = f"below {self.limits.min_speed:g} of fastest"
        return [
            objection or (slow if rung.tokens_per_second < slowest else "")
            for rung, objection in zip(self.rungs, found, strict=True)
        ]

    def expected_mb(self, bptt: int) -> float:
        """The memory a longer rung would take, as memory is linear in bptt; NaN after fewer than three rungs."""
        if len(self.rungs) < MIN_RUNGS:
            return math.nan
        first, last = self.rungs[0], self.rungs[-1]
        slope = (last.memory_mb - first.memory_mb) / (last.bptt - first.bptt)
        return last.memory_mb + max(slope, 0.0) * (bptt - last.bptt)

    @property
    def usable(self) -> list[int]:
        """Each bptt that breaks no limit."""
        return [rung.bptt for rung, verdict in zip(self.rungs, self.verdicts, strict=True) if not verdict]

    @property
    def suggestion(self) -> int:
        """The highest bptt that breaks no limit. Raises ValueError if there is none."""
        if not self.usable:
            raise ValueError(
                f"bptt_finder found no usable bptt: {self.rungs[0].bptt}, the shortest, fails ({self.verdicts[0]}); "
                "start bptt_finder.ladder lower, lower datamodule.batch_size or model.lr, or raise the limits"
            )
        return max(self.usable)

    @property
    def remarks(self) -> list[str]:
        """Reasons to doubt the suggestion, and what to change."""
        best = next(rung for rung in self.rungs if rung.bptt == self.suggestion)
        remarks = []
        if best.bptt == self.ladder[-1]:
            remarks.append("the longest bptt meets all limits: add longer ones to bptt_finder.ladder")
        if best.steps_per_epoch < MIN_EPOCH_STEPS:
            remarks.append(
                f"only {best.steps_per_epoch} steps an epoch: a shorter bptt may learn more in as many epochs"
            )
        return remarks

    def table(self) -> str:
        """A line for each rung, and remarks."""
        names = ("bptt", "steps/epoch", "tokens/s", "s/step", "memory MB", "gradient")
        lines = [f"bptt finder: {len(self.rungs)} of {len(self.ladder)} lengths, {self.seconds:.1f} s"]
        lines.append("{:>6}{:>12}{:>10}{:>9}{:>10}{:>9}".format(*names))
        for rung, verdict in zip(self.rungs, self.verdicts, strict=True):
            line = f"{rung.bptt:6}{rung.steps_per_epoch:12,}"
            if rung.losses:
                line += f"{rung.tokens_per_second:10,.0f}{rung.step_s:9.3g}{rung.memory_mb:10,.0f}"
                line += f"{f'x {self.growth(rung):.3g}':>9}"
            mark = "<- suggested" if rung.bptt == max(self.usable, default=0) else verdict
            lines.append(f"{line}  {mark}".rstrip())
        return "\n".join([*lines, *(f"  note: {remark}" for remark in (self.remarks if self.usable else []))])

    def plot(self) -> Figure:
        """Speed, memory and gradient by length, with their limits."""
        return draw_search(self)

    def write(self, path: Path) -> None:
        """Write the rungs as CSV, a line for each."""
        names = ["bptt", "steps_per_epoch", "tokens_per_second", "step_s", "memory_mb", "loss", "gradient_norm"]
        with staged(path) as name, name.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*names, "gradient_growth", "verdict"])
            for rung, verdict in zip(self.rungs, self.verdicts, strict=True):
                measured = [rung.bptt, rung.steps_per_epoch, rung.tokens_per_second, rung.step_s, rung.memory_mb]
                largest = [max(values, default=math.nan) for values in (rung.losses, rung.gradient_norms)]
                writer.writerow([*measured, *largest, self.growth(rung), verdict or "ok"])


def draw_search(search: BPTTSearch) -> Figure:
    """Speed, memory and gradient by length: a dot for each length, a dashed line for the limit.

    Hollow dots are lengths that break a limit. A vertical line marks the suggestion.
    """
    figure = new_figure(11, 4.2)
    limits, rungs = search.limits, search.rungs
    stable = [rung.tokens_per_second for rung in rungs if not search.objection(rung)]
    panels: list[tuple[str, list[float], float | None]] = [
        ("tokens a second", [rung.tokens_per_second for rung in rungs], limits.min_speed * max(stable, default=0.0)),
        ("peak memory, MB", [rung.memory_mb for rung in rungs], limits.memory_mb),
        ("gradient norm over that of the shortest", [search.growth(rung) for rung in rungs], limits.max_growth),
    ]
    for place, (label, values, limit) in enumerate(panels):
        axes = figure.add_axes((0.065 + 0.32 * place, 0.14, 0.26, 0.72))
        _panel(axes, search, values, limit)
        axes.set(xlabel="bptt", title=label)
    axes.set(yscale="log")  # pyright: ignore[reportPossiblyUnboundVariable]
    handles, labels = axes.get_legend_handles_labels()  # pyright: ignore[reportPossiblyUnboundVariable]
    figure.legend(handles, labels, loc="upper right", ncols=4, frameon=False, bbox_to_anchor=(0.99, 1.01))
    return figure


def _panel(axes: Axes, search: BPTTSearch, values: list[float], limit: float | None) -> None:
    lengths = [rung.bptt for rung in search.rungs]
    axes.plot(lengths, values, color="0.7", lw=1.5, zorder=1)
    for is_usable, face in ((True, MEASURED), (False, "white")):
        chosen = [place for place, verdict in enumerate(search.verdicts) if (not verdict) == is_usable]
        where: Any = ([lengths[place] for place in chosen], [values[place] for place in chosen])
        label = "meets all limits" if is_usable else "breaks a limit"
        axes.plot(*where, "o", color=MEASURED, markerfacecolor=face, label=label)
    if limit:
        axes.axhline(limit, color=LIMIT, ls="dashed", lw=1.5, label="limit")
    if search.usable:
        best = search.suggestion
        axes.axvline(best, color=SUGGESTED, lw=2.5, alpha=0.6, zorder=0, label=f"suggested: {best}")
    axes.set_xscale("log", base=2)
    axes.set_xticks(search.ladder, [str(length) for length in search.ladder])
    axes.set_xlim(search.ladder[0] / 1.3, search.ladder[-1] * 1.3)
    axes.spines[["top", "right"]].set_visible(False)
