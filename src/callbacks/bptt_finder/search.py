"""What a search for bptt has found: what each length takes, what speaks against it, the suggestion."""

import csv
import math
import os
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from matplotlib.figure import Figure

from src.callbacks.bptt_finder.picture import draw

FEW_STEPS = 100  # in an epoch, below which a remark is made
READABLE = 3  # rungs from which memory is extrapolated


@dataclass(frozen=True)
class Limits:
    """What a length has to keep.

    memory_mb: peak, None for any.  max_growth: of the largest gradient norm over that of the shortest length.
    min_speed: tokens a second over those of the fastest length that fits and is stable.
    """

    memory_mb: float | None
    max_growth: float
    min_speed: float


@dataclass(frozen=True)
class Rung:
    """What a few training steps with one bptt have shown.

    steps_per_epoch: optimizer steps, infinite if unknown.  losses, gradient_norms: one of each step, the warm-up step
    included.  tokens_per_second, step_s: medians of the timed steps, NaN without any.
    failure: what kept it from its steps; empty if nothing did.
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
    """Rungs of increasing bptt, as far as the search came, and what the limits make of them.

    ladder: all lengths.  seconds: what the search took.
    """

    rungs: list[Rung]
    ladder: list[int]
    limits: Limits
    seconds: float = math.nan

    def growth(self, rung: Rung) -> float:
        """The largest gradient norm over that of the shortest length. Every rung begins with the same weights."""
        first = max(self.rungs[0].gradient_norms, default=math.nan)
        return max(rung.gradient_norms, default=math.nan) / max(first, sys.float_info.min)

    def objection(self, rung: Rung) -> str:
        """What speaks against a length, in a few words, its speed aside; empty if nothing does."""
        most = self.limits.memory_mb
        if rung.failure:
            return rung.failure
        if rung.steps_per_epoch <= 1:
            return "an epoch is one step"
        if most is not None and rung.memory_mb > most:
            return f"above {most:,.0f} MB"
        if not all(map(math.isfinite, rung.losses)):
            return "loss not finite"
        if not rung.gradient_norms or not all(map(math.isfinite, rung.gradient_norms)):
            return "gradient not finite"
        if self.growth(rung) > self.limits.max_growth:
            return f"gradient above x {self.limits.max_growth:g}"
        return ""

    @cached_property
    def verdicts(self) -> list[str]:
        """What speaks against each rung, its speed included."""
        found = [self.objection(rung) for rung in self.rungs]
        speeds = [rung.tokens_per_second for rung, objection in zip(self.rungs, found, strict=True) if not objection]
        least = self.limits.min_speed * max(speeds, default=0.0)
        slow = f"below {self.limits.min_speed:g} of fastest"
        return [
            objection or (slow if rung.tokens_per_second < least else "")
            for rung, objection in zip(self.rungs, found, strict=True)
        ]

    def expected_mb(self, bptt: int) -> float:
        """The memory that a longer rung would take, which is linear in bptt; NaN after fewer than three rungs."""
        if len(self.rungs) < READABLE:
            return math.nan
        first, last = self.rungs[0], self.rungs[-1]
        slope = (last.memory_mb - first.memory_mb) / (last.bptt - first.bptt)
        return last.memory_mb + max(slope, 0.0) * (bptt - last.bptt)

    @property
    def fine(self) -> list[int]:
        """Each bptt that nothing speaks against."""
        return [rung.bptt for rung, verdict in zip(self.rungs, self.verdicts, strict=True) if not verdict]

    @property
    def suggestion(self) -> int:
        """The highest bptt that nothing speaks against. Raises ValueError if there is none."""
        if not self.fine:
            raise ValueError(
                f"bptt_finder found no bptt that will do: {self.rungs[0].bptt}, the shortest, is {self.verdicts[0]}; "
                "begin bptt_finder.ladder lower, lower datamodule.batch_size or model.lr, or allow more"
            )
        return max(self.fine)

    @property
    def remarks(self) -> list[str]:
        """What makes the suggestion doubtful, and what to change."""
        best = next(rung for rung in self.rungs if rung.bptt == self.suggestion)
        remarks = []
        if best.bptt == self.ladder[-1]:
            remarks.append("nothing speaks against the longest: add longer ones to bptt_finder.ladder")
        if best.steps_per_epoch < FEW_STEPS:
            remarks.append(
                f"only {best.steps_per_epoch} steps an epoch: a shorter one may learn more in as many epochs"
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
            mark = "<- suggested" if rung.bptt == max(self.fine, default=0) else verdict
            lines.append(f"{line}  {mark}".rstrip())
        return "\n".join([*lines, *(f"  note: {remark}" for remark in (self.remarks if self.fine else []))])

    def plot(self) -> Figure:
        """Speed, memory and gradient by length, with their limits."""
        return draw(self)

    def write(self, path: Path) -> None:
        """Write the rungs as CSV, a line for each."""
        path.parent.mkdir(parents=True, exist_ok=True)
        staged = path.with_suffix(".tmp")
        names = ["bptt", "steps_per_epoch", "tokens_per_second", "step_s", "memory_mb", "loss", "gradient_norm"]
        with staged.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*names, "gradient_growth", "verdict"])
            for rung, verdict in zip(self.rungs, self.verdicts, strict=True):
                measured = [rung.bptt, rung.steps_per_epoch, rung.tokens_per_second, rung.step_s, rung.memory_mb]
                largest = [max(values, default=math.nan) for values in (rung.losses, rung.gradient_norms)]
                writer.writerow([*measured, *largest, self.growth(rung), verdict or "ok"])
        os.replace(staged, path)
