"""What a learning-rate search has found: curves, suggestions, their table, file and picture."""

import csv
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from src.callbacks.lr_finder.picture import draw
from src.callbacks.lr_finder.rules import RULES, Curve, check_readable, remarks


@dataclass(frozen=True)
class LRSearch:
    """Curves over one ladder, one for each repeat, and what the rules make of them.

    rule: the one whose suggestion counts.  ladder: (rungs,), all rates, also those that no repeat came to.  seconds:
    what the search took.  Raises UnreadableCurve, a ValueError, if a curve is too short or too flat to be read.
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
    def _of_repeats(self) -> dict[str, list[float]]:
        return {name: [rule(curve) for curve in self.curves] for name, rule in RULES.items()}

    @cached_property
    def suggestions(self) -> dict[str, float]:
        """Each rule's learning rate, to three digits, so that it is the rate that is shown, and within the ladder.

        Over the repeats it is the median of the logarithms.
        """
        medians = {name: np.exp(np.median(np.log(rates))) for name, rates in self._of_repeats.items()}
        low, high = self.ladder[0], self.ladder[-1]
        return {name: float(np.clip(float(f"{rate:.3g}"), low, high)) for name, rate in medians.items()}

    @property
    def suggestion(self) -> float:
        """The chosen rule's learning rate."""
        return self.suggestions[self.rule]

    @property
    def spread(self) -> dict[str, float]:
        """Each rule's largest suggestion over its smallest, among the repeats: 1 if they agree."""
        return {name: max(rates) / min(rates) for name, rates in self._of_repeats.items()}

    @property
    def remarks(self) -> list[str]:
        """What makes the suggestions doubtful, and what to change."""
        return list(dict.fromkeys(remark for curve in self.curves for remark in remarks(curve, self.ladder)))

    def table(self) -> str:
        """The suggestions in lines, the chosen one first, with the spread if there are repeats."""
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
        return draw(self.curves, self.ladder, self.suggestions, self.rule)

    def write(self, path: Path) -> None:
        """Write the curves as CSV: repeat, step, lr, loss, smoothed."""
        path.parent.mkdir(parents=True, exist_ok=True)
        staged = path.with_suffix(".tmp")
        with staged.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["repeat", "step", "lr", "loss", "smoothed"])
            for repeat, curve in enumerate(self.curves):
                rows = zip(curve.lrs.tolist(), curve.losses.tolist(), curve.smoothed.tolist(), strict=True)
                writer.writerows([repeat, step, *row] for step, row in enumerate(rows))
        os.replace(staged, path)
