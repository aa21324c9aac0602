"""Whether a classifier is right as often as it says."""

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure

from src.report.figures import ACCENT, line_style, new_figure, without_box

NUM_BINS = 15


@dataclass(frozen=True)
class Reliability:
    """Answers in bins of like confidence, without the empty bins: how many, how sure, how often right."""

    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error: the mean gap between confidence and accuracy, each bin by its count."""
        return float(np.average(np.abs(self.confidence - self.accuracy), weights=self.counts))


def reliability_of(confidence: np.ndarray, right: np.ndarray) -> Reliability:
    """Both (answers,): how probable the net held it, and whether it was so.

    The bins are torchmetrics': of equal width, and one more for a confidence of exactly 1.
    Source: Guo et al. 2017, arXiv:1706.04599, section 2.
    """
    bins = torch.bucketize(torch.from_numpy(confidence), torch.linspace(0, 1, NUM_BINS + 1), right=True).numpy()
    counts = np.bincount(bins)
    used = counts > 0
    means = (np.bincount(bins, weights=values)[used] / counts[used] for values in (confidence, right))
    return Reliability(counts[used], *means)


def draw_reliability(found: Reliability, probabilities: np.ndarray, xlabel: str, ylabel: str, unit: str) -> Figure:
    """How often it is so against how probable the net finds it; below, how many `unit` there are of each."""
    figure = new_figure(5.6, 4.6)
    figure.set_layout_engine("constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    upper.plot([0, 1], [0, 1], **line_style(1), label="what should be")
    upper.plot(found.confidence, found.accuracy, "o-", color=ACCENT, label="this net")
    # Two deviations of a share by chance: what lies further off the diagonal is no chance.
    chance = 2 * np.sqrt(found.accuracy * (1 - found.accuracy) / found.counts)
    upper.errorbar(found.confidence, found.accuracy, chance, color=ACCENT, lw=0, elinewidth=1.2, capsize=2)
    upper.set(xlim=(-0.02, 1.02), ylim=(-0.03, 1.05))
    upper.set_ylabel(ylabel, parse_math=False)
    upper.legend(frameon=False, loc="upper left")
    lower.hist(probabilities, np.linspace(0, 1, NUM_BINS + 1), color=ACCENT, alpha=0.6, log=True)
    lower.set_xlabel(xlabel, parse_math=False)
    lower.set_ylabel(unit, fontsize=8)
    lower.tick_params(axis="y", labelsize=7)
    for axes in (upper, lower):
        without_box(axes)
    return figure
