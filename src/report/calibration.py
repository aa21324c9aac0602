"""Whether a classifier is right as often as it says."""

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure

from src.report.figures import ACCENT, line_style, new_figure, without_box

NUM_BINS = 15


@dataclass(frozen=True)
class Reliability:
    """Pictures in bins of like confidence, without the empty bins: how many, how sure, how often right."""

    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error: the mean gap between confidence and accuracy, each bin by its count."""
        return float(np.average(np.abs(self.confidence - self.accuracy), weights=self.counts))


def reliability_of(confidence: np.ndarray, right: np.ndarray) -> Reliability:
    """Both (pictures,): the probability of the predicted class, and whether that was right.

    The bins are torchmetrics': of equal width, and one more for a confidence of exactly 1.
    Source: Guo et al. 2017, arXiv:1706.04599, section 2.
    """
    bins = torch.bucketize(torch.from_numpy(confidence), torch.linspace(0, 1, NUM_BINS + 1), right=True).numpy()
    counts = np.bincount(bins)
    used = counts > 0
    means = (np.bincount(bins, weights=values)[used] / counts[used] for values in (confidence, right))
    return Reliability(counts[used], *means)


def draw_reliability(reliability: Reliability, confidence: np.ndarray) -> Figure:
    """Accuracy against confidence with the diagonal of a calibrated net; below, how many pictures there are."""
    figure = new_figure(6.4, 4.6)
    figure.set_layout_engine("constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], **line_style(1), label="as sure as right")
    upper.vlines(reliability.confidence, reliability.confidence, reliability.accuracy, color=ACCENT, alpha=0.5, lw=5)
    upper.plot(reliability.confidence, reliability.accuracy, "o", color=ACCENT, label="this net, and its gap")
    upper.set(ylabel="share that is right", xlim=(0, 1.02), ylim=(-0.03, 1.05))
    upper.legend(loc="upper left", frameon=False)
    counts, _, bars = lower.hist(confidence, np.linspace(0, 1, NUM_BINS + 1), color=ACCENT, log=True, rwidth=0.9)
    lower.bar_label(bars, [f"{count:.0f}" if count else "" for count in counts], fontsize=8)
    lower.set(xlabel="confidence: the probability of the predicted class", ylabel="pictures")
    lower.set_ylim(0.5, 8 * counts.max())
    for axes in (upper, lower):
        without_box(axes)
    return figure
