"""Scores and thresholds of several labels an image."""

import torch
from torch import Tensor


def label_scores(
    probabilities: Tensor, labels: Tensor, thresholds: Tensor, names: list[str] | None = None
) -> dict[str, Tensor]:
    """Return mean average precision, macro F1 and micro F1; with names also both scores of each label.

    The means are over the labels that some row has: the others have no average precision.

    Args:
        probabilities: (rows, labels).
        labels: (rows, labels), 0 or 1.
        thresholds: (labels,), from which probability on a label is predicted.
        names: of the labels.
    """
    present, predicted = labels > 0, probabilities >= thresholds.to(probabilities)
    hits, own = (present & predicted).sum(0), present.sum(0)
    f1 = 2 * hits / (own + predicted.sum(0))
    scored = own > 0
    precisions = torch.full_like(probabilities[0], torch.nan)
    for place in scored.nonzero().flatten().tolist():
        precisions[place] = average_precision(probabilities[:, place], present[:, place])
    scores = {
        "mean_average_precision": precisions[scored].mean(),
        "macro_f1": f1[scored].mean(),
        "micro_f1": 2 * hits.sum() / (own + predicted.sum(0)).sum(),
    }
    for name, precision, one, is_scored in zip(names or [], precisions, f1, scored.tolist(), strict=False):
        scores |= {f"average_precision_{name}": precision, f"f1_{name}": one} if is_scored else {}
    return scores


def average_precision(scores: Tensor, present: Tensor) -> Tensor:
    """Return the mean of the precision at each row that has the label, from the highest score down; ties count as one.

    Args:
        scores: (rows,).
        present: (rows,), whether each has the label; at least one has.

    Returns:
        NaN if a score is NaN.
    """
    if scores.isnan().any():
        return scores.new_tensor(torch.nan)
    _, hits, chosen = _curve(scores, present)
    return (hits.diff(prepend=hits.new_zeros(1)) * hits / chosen).sum() / hits[-1]


def choose_thresholds(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Return the threshold of each label with its highest F1, float32 (labels,); 0.5 for a label that no row has.

    A threshold lies halfway between the lowest probability that is predicted and the next below it, or 0. Of several
    with the same F1, it is the one nearest to 0.5.

    Args:
        probabilities: (rows, labels).
        labels: (rows, labels), 0 or 1.
    """
    found = torch.full_like(probabilities[0], 0.5)
    for place in labels.any(0).nonzero().flatten().tolist():
        present = labels[:, place] > 0
        values, hits, chosen = _curve(probabilities[:, place], present)
        f1 = 2 * hits / (chosen + hits[-1])
        halfway = (values + torch.cat([values[1:], values.new_zeros(1)])) / 2
        best = halfway[f1 == f1.max()]
        found[place] = best[(best - 0.5).abs().argmin()]
    return found.nan_to_num(0.5).float()


def _curve(scores: Tensor, present: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the distinct scores from high to low, how many rows from each on have the label, and how many in all."""
    values, place, counts = scores.unique(return_inverse=True, return_counts=True)
    hits = torch.zeros_like(values).index_add_(0, place, present.to(values))
    return values.flip(0), hits.flip(0).cumsum(0), counts.flip(0).cumsum(0)
