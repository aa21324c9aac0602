"""Whether a classifier's probabilities are as high as its share of correct answers."""

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure

from src.report.figures import ACCENT, line_style, new_figure, without_box
from src.report.parts import Plot

NUM_BINS = 15


@dataclass(frozen=True)
class Reliability:
    """Answers in bins of similar confidence, without the empty bins; three arrays (bins,)."""

    counts: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error: the mean gap between confidence and accuracy, weighted by count."""
        return float(np.average(np.abs(self.confidence - self.accuracy), weights=self.counts))


def reliability_of(confidence: np.ndarray, is_true: np.ndarray) -> Reliability:
    """Sort answers into bins by confidence.

    The bins are torchmetrics': of equal width, and one more for a confidence of exactly 1.
    Source: Guo et al. 2017, arXiv:1706.04599, section 2.

    Args:
        confidence: (answers,), the probability of each.
        is_true: (answers,), whether each was correct.
    """
    bins = torch.bucketize(torch.from_numpy(confidence), torch.linspace(0, 1, NUM_BINS + 1), right=True).numpy()
    counts = np.bincount(bins)
    used = counts > 0
    means = (np.bincount(bins, weights=values)[used] / counts[used] for values in (confidence, is_true))
    return Reliability(counts[used], *means)


def reliability_plot(
    confidence: np.ndarray, is_true: np.ndarray, unit: str, advice: str, name: str = "", state: str = ""
) -> Plot:
    """The reliability diagram, with how to read it.

    Args:
        confidence, is_true: as in reliability_of.
        unit: what is classified: images, rows.
        advice: what to try if the probabilities are wrong.
        name: the class whose probability this is; empty if it is the predicted class of each answer.
        state: what is so if `is_true`; empty if it is the name, or that the answer is correct.
    """
    found = reliability_of(confidence, is_true)
    what, are = name or "the predicted class", state or name or "correct"
    xlabel = f"predicted probability of {name}" if name else "confidence: probability of the predicted class"
    return Plot(
        "Reliability",
        draw_reliability(found, confidence, xlabel, f"share that is {are}", unit),
        f"Share that is {are} against the probability of {what}; mean probability {confidence.mean():.3f}, share "
        f"{is_true.mean():.3f}, expected calibration error {found.error:.4f}",
        f"Of the {unit} for which the net gives {what} a probability of 80%, 80% should be {are}: the dots then lie on "
        "the diagonal. Below it the probabilities are too high, above it too low. The small bars show how far chance "
        f"alone can move a dot. The lower plot counts the {unit} (logarithmic scale). On average the probability is "
        f"{confidence.mean():.1%}, and {is_true.mean():.1%} are {are}. The mean gap, the expected calibration error, "
        f"is {found.error:.4f}. {advice}",
    )


def draw_reliability(found: Reliability, probabilities: np.ndarray, xlabel: str, ylabel: str, unit: str) -> Figure:
    """Accuracy against confidence; below, how many of `unit` have each probability."""
    figure = new_figure(5.6, 4.6, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    upper.plot([0, 1], [0, 1], **line_style(1), label="ideal")
    upper.plot(found.confidence, found.accuracy, "o-", color=ACCENT, label="this net")
    # Two standard errors of a share: a dot further off the diagonal is not chance.
    chance = 2 * np.sqrt(found.accuracy * (1 - found.accuracy) / found.counts)
    upper.errorbar(found.confidence, found.accuracy, chance, color=ACCENT, lw=0, elinewidth=1.2, capsize=2)
    upper.set(xlim=(-0.02, 1.02), ylim=(-0.03, 1.05))
    upper.set_ylabel(ylabel)
    upper.legend(frameon=False, loc="upper left")
    lower.hist(probabilities, np.linspace(0, 1, NUM_BINS + 1), color=ACCENT, alpha=0.6, log=True)
    lower.set_xlabel(xlabel)
    lower.set_ylabel(unit, fontsize=8)
    lower.tick_params(axis="y", labelsize=7)
    for axes in (upper, lower):
        without_box(axes)
    return figure
