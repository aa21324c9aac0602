"""Rules that suggest a learning rate from the curve of a search."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

MIN_STEPS = 10  # a shorter curve is not read


class UnreadableCurve(ValueError):
    """A curve from which no rule can suggest a rate."""


@dataclass(frozen=True)
class Curve:
    """The loss at each rung of a ladder of learning rates, as far as the search went.

    Attributes:
        lrs: (rungs,), increasing.
        losses: (rungs,), each the mean over one step's batches, before that step; the last may be infinite or NaN.
        schedule_mean: of the later training, its mean rate divided by its peak, within (0, 1]; 1 if constant.
        epochs: how often the later training sees its data, at least 1.
    """

    lrs: np.ndarray
    losses: np.ndarray
    schedule_mean: float = 1.0
    epochs: float = 1.0

    @property
    def smoothed(self) -> np.ndarray:
        """The running average that decides when the search stops."""
        return debiased_average(self.losses)


def debiased_average(losses: np.ndarray, beta: float = 0.98) -> np.ndarray:
    """The exponential moving average of the values so far, divided by the sum of their weights: (rungs,).

    Source: Kingma and Ba 2015, arXiv:1412.6980, section 3, for the division by 1 - beta^n; fast.ai's beta.
    """
    average, averages = 0.0, []
    for count, loss in enumerate(losses, start=1):
        average = beta * average + (1 - beta) * loss
        averages.append(average / (1 - beta**count))
    return np.array(averages)


def is_over(losses: list[float]) -> bool:
    """Whether a search must stop: the last loss is not finite, or the smoothed loss exceeds 4 x its best.

    The second rule ignores the first 10 steps, which may be noise. For a negative best, for which 4 x has no meaning,
    the limit is above the best by three times its distance below the first loss or below zero, whichever is larger.
    """
    if not math.isfinite(losses[-1]):
        return True
    smoothed = debiased_average(np.array(losses))
    best, first = float(smoothed.min()), float(smoothed[0])
    limit = 4 * best if best > 0 else best + 3 * max(-best, first - best)
    return len(losses) > MIN_STEPS and float(smoothed[-1]) > limit


def check_readable(curve: Curve, ladder: np.ndarray) -> None:
    """Raise UnreadableCurve if a curve is too short or if its loss falls by no more than its noise."""
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
    """Reasons to doubt a curve's suggestions, and what to change."""
    lowest = curve.lrs[int(np.argmin(kernel_average(curve)))]
    found = []
    if lowest >= ladder[-1]:
        found.append(f"the loss still fell at the end of the ladder: raise lr_finder.max_lr (now {ladder[-1]:.3g})")
    if lowest < 10 * ladder[0]:
        found.append(f"the loss was lowest near the ladder's start: lower lr_finder.min_lr (now {ladder[0]:.3g})")
    return found


def combined(curve: Curve) -> float:
    """fastlight's rule: the rate at which the loss has fallen by a share of its whole fall.

    The share is 1.2 - 0.5 schedule_mean - 0.2 log10 epochs. It is 0.95, close to the lowest point, for one pass over
    the data with a schedule that averages half its peak; less for a schedule that stays longer at its peak, or for more
    epochs. The loss is `kernel_average`, which does not lag like a running average. docs/lr_finder.md tells where the
    three numbers come from and how far to trust them.
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
    """The finite losses, smoothed over log10 lr by a Gaussian of `width`: (rungs,).

    A rise above the start is capped at the size of the fall; otherwise a divergence would raise the losses before it.
    """
    finite = _finite(curve)
    lrs, losses = np.log10(curve.lrs[:finite]), curve.losses[:finite]
    start = _start(curve)
    capped = np.minimum(losses, start + (start - losses.min()))
    weights = np.exp(-0.5 * ((lrs[:, None] - lrs[None, :]) / width) ** 2)
    return weights @ capped / weights.sum(1)


def _start(curve: Curve) -> float:
    """The loss before anything is learned: the mean of the first tenth, at least ten rungs."""
    return float(np.mean(curve.losses[: max(MIN_STEPS, len(curve.losses) // 10)]))


def minimum(curve: Curve) -> float:
    """fast.ai's rule of thumb: a tenth of the rate with the lowest smoothed loss."""
    lrs, losses = _middle(curve)
    return float(max(lrs[np.argmin(losses)] / 10, curve.lrs[0]))


def steep(curve: Curve) -> float:
    """fast.ai's rule: the rate at which the smoothed loss falls fastest over the logarithm of the rate."""
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
    """The left end of a window that moves down from the top of the ladder while the slopes at its ends differ.

    The window is in rungs, the threshold in loss per rung. Source: fast.ai's description of its rule, by Novetta.
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
    """Rates and smoothed losses without the first tenth, where the average is short, and the last five rungs."""
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
