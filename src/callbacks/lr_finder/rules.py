"""From the curve of a learning-rate search to learning rates: pure arithmetic on two columns of numbers."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

MIN_STEPS = 10  # steps below which no curve is read


class UnreadableCurve(ValueError):
    """A search whose curve no rule can speak on."""


@dataclass(frozen=True)
class Curve:
    """The loss at each rung of a ladder of learning rates, as far as the search came.

    lrs: (rungs,), increasing.  losses: (rungs,), each a mean over one step's batches, before that step; the last may be
    infinite or NaN, with which a search stops.
    Of the training to come: schedule_mean, its mean rate over its peak, within (0, 1], 1 if constant; epochs, how often
    it sees its data, at least 1.
    """

    lrs: np.ndarray
    losses: np.ndarray
    schedule_mean: float = 1.0
    epochs: float = 1.0

    @property
    def smoothed(self) -> np.ndarray:
        """The running average by which the search stops."""
        return debiased_average(self.losses)


def debiased_average(losses: np.ndarray, beta: float = 0.98) -> np.ndarray:
    """The exponential moving average of the values so far, each divided by the weight of those so far: (rungs,).

    Source: Kingma and Ba 2015, arXiv:1412.6980, section 3, for the division by 1 - beta^n; fast.ai's beta.
    """
    average, averages = 0.0, []
    for count, loss in enumerate(losses, start=1):
        average = beta * average + (1 - beta) * loss
        averages.append(average / (1 - beta**count))
    return np.array(averages)


def is_over(losses: list[float]) -> bool:
    """Whether a search must stop: the last loss is not finite, or the smoothed loss exceeds 4 x its best.

    Not in the first 10 steps, for noise alone. Where losses are negative, 4 x has no meaning: there it is three times
    as far above the best as the best is below the first, or below zero if that is farther.
    """
    if not math.isfinite(losses[-1]):
        return True
    smoothed = debiased_average(np.array(losses))
    best, first = float(smoothed.min()), float(smoothed[0])
    limit = 4 * best if best > 0 else best + 3 * max(-best, first - best)
    return len(losses) > MIN_STEPS and float(smoothed[-1]) > limit


def check_readable(curve: Curve, ladder: np.ndarray) -> None:
    """Raise UnreadableCurve if a curve is too short, or if its loss does not fall by more than its noise."""
    finite = _finite(curve)
    if finite < MIN_STEPS:
        raise UnreadableCurve(
            f"lr_finder cannot read a curve of {finite} steps: the loss was not finite at a learning rate of "
            f"{curve.lrs[finite]:.2g}; lower lr_finder.min_lr (now {ladder[0]:.2g}), or check the loss"
        )
    average = kernel_average(curve)
    lowest = int(np.argmin(average))
    fall = _start(curve) - float(average[lowest])
    noise = float(np.std((curve.losses[:finite] - average)[: lowest + 1]))
    if not fall > noise:
        raise UnreadableCurve(
            f"lr_finder saw no fall of the loss: {fall:.2g} within a noise of {noise:.2g}, from {ladder[0]:.2g} to "
            f"{curve.lrs[finite - 1]:.2g}; try larger batches, lr_finder.num_steps, or another range (min_lr, max_lr), "
            "and check that the model learns at all"
        )


def remarks(curve: Curve, ladder: np.ndarray) -> list[str]:
    """What makes a curve's suggestions doubtful, and what to change."""
    lowest = curve.lrs[int(np.argmin(kernel_average(curve)))]
    found = []
    if lowest >= ladder[-1]:
        found.append(f"the loss still fell at the end of the ladder: raise lr_finder.max_lr (now {ladder[-1]:.3g})")
    if lowest < 10 * ladder[0]:
        found.append(f"the loss was lowest near the ladder's start: lower lr_finder.min_lr (now {ladder[0]:.3g})")
    return found


# ---- our rule ----


def combined(curve: Curve) -> float:
    """The rate at which the loss has come down by a share of its whole fall: 1.2 - 0.5 schedule_mean - 0.2 lg epochs.

    That is close to the lowest point, 0.95, for one pass over the data with a schedule that is at half its peak on
    average; less for one that stays longer at its peak; and less the more often the data are seen. Read off
    `kernel_average`, which does not lag behind as a running average does.
    Where the three numbers come from, and how far to trust them: docs/lr_finder.md.
    """
    share = float(np.clip(1.2 - 0.5 * curve.schedule_mean - 0.2 * math.log10(curve.epochs), 0.2, 0.95))
    average, start = kernel_average(curve), _start(curve)
    level = start - share * (start - average.min())
    after = int(np.argmax(average <= level))
    if after == 0:
        return float(curve.lrs[0])
    within = (average[after - 1] - level) / (average[after - 1] - average[after])
    below, above = np.log(curve.lrs[after - 1 : after + 1])
    return float(np.exp(below + within * (above - below)))


def kernel_average(curve: Curve, width: float = 0.25) -> np.ndarray:
    """The losses before the first that is not finite, smoothed over log10 lr by a Gaussian of `width`: (rungs,).

    What rises above the start by more than the loss has fallen counts as just that, lest a divergence be felt before it
    comes.
    """
    finite = _finite(curve)
    lrs, losses = np.log10(curve.lrs[:finite]), curve.losses[:finite]
    start = _start(curve)
    capped = np.minimum(losses, start + (start - losses.min()))
    weights = np.exp(-0.5 * ((lrs[:, None] - lrs[None, :]) / width) ** 2)
    return weights @ capped / weights.sum(1)


def _start(curve: Curve) -> float:
    """The loss before anything is learnt: the mean of the first tenth, ten rungs at least."""
    return float(np.mean(curve.losses[: max(MIN_STEPS, len(curve.losses) // 10)]))


# ---- fast.ai's rules, on the smoothed loss ----


def minimum(curve: Curve) -> float:
    """A tenth of the rate with the lowest smoothed loss: the course's rule of thumb."""
    lrs, losses = _middle(curve)
    return float(max(lrs[np.argmin(losses)] / 10, curve.lrs[0]))


def steep(curve: Curve) -> float:
    """The rate at which the smoothed loss falls fastest, by the logarithm of the rate."""
    lrs, losses = _middle(curve)
    return float(lrs[np.argmin(np.gradient(losses, np.log(lrs)))])


def valley(curve: Curve) -> float:
    """The middle of the longest decreasing subsequence of smoothed losses.

    Source: fast.ai's description of its rule, found by ESRI.
    """
    lrs, losses = _middle(curve)
    lengths = np.ones(len(losses), dtype=int)
    for end in range(1, len(losses)):
        higher = losses[:end] > losses[end]
        lengths[end] = 1 + max(lengths[:end][higher], default=0)
    end = int(np.argmax(lengths))
    start = max(0, end - int(lengths[end]))
    return float(lrs[start + (end - start) // 2])


def slide(curve: Curve, window: int = 15, threshold: float = 0.005) -> float:
    """The left end of a window moved down from the top of the ladder as long as the slopes at its ends differ.

    window: in rungs.  threshold: in loss per rung.  Source: fast.ai's description of its rule, by Novetta.
    """
    lrs, losses = _middle(curve)
    slopes = np.gradient(losses)
    window = min(window, len(losses) - 1)
    left = chosen = len(losses) - 1 - window
    while left >= 0 and abs(slopes[left + window] - slopes[left]) > threshold:
        chosen = left
        left -= 1
    return float(lrs[chosen])


def _middle(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    """Rates and smoothed losses without the first tenth, where the average is still young, and the last five rungs."""
    finite = _finite(curve)
    start, stop = finite // 10, max(finite - 5, finite // 10 + 2)
    return curve.lrs[start:stop], curve.smoothed[start:stop]


def _finite(curve: Curve) -> int:
    """The number of rungs before the first loss that is not finite."""
    wrong = np.flatnonzero(~np.isfinite(curve.losses))
    return int(wrong[0]) if len(wrong) else len(curve.losses)


RULES: dict[str, Callable[[Curve], float]] = {
    "combined": combined,
    "minimum": minimum,
    "steep": steep,
    "valley": valley,
    "slide": slide,
}
