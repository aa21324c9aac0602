"""Scores of a table's classes over all rows at once."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error

from src.models.row_scores import mean_of_rows

NUM_BINS = 15  # of the calibration error


def class_scores(log_probabilities: Tensor, classes: Tensor, weights: Tensor | None = None) -> dict[str, Tensor]:
    """Return log loss, AUROC, accuracy and calibration error (15 bins).

    AUROC is the mean over the classes, each against all others; with two classes both are equal. The calibration error
    is that of the second of two classes, or of the most probable of more. Rows count by their weights, (rows,), if they
    have some.
    """
    probabilities = log_probabilities.exp()
    if weights is not None:
        return _weighted_class_scores(log_probabilities, probabilities, classes, weights)
    num_classes = probabilities.shape[1]
    if num_classes == 2:
        calibration = binary_calibration_error(probabilities[:, 1].contiguous(), classes, validate_args=False)
    else:
        calibration = multiclass_calibration_error(probabilities, classes, num_classes, validate_args=False)
    scored = range(num_classes) if num_classes > 2 else [1]
    areas = [area_under_roc(log_probabilities[:, number], classes == number) for number in scored]
    return {
        "loss": F.nll_loss(log_probabilities, classes),
        "auroc": torch.stack(areas).nanmean(),
        "accuracy": (probabilities.argmax(1) == classes).double().mean(),
        "calibration_error": calibration,
    }


def area_under_roc(scores: Tensor, positive: Tensor) -> Tensor:
    """Return the chance that a positive row scores above a negative one, ties counting half; NaN without both."""
    _, place, counts = scores.unique(return_inverse=True, return_counts=True)
    ranks = (counts.cumsum(0) - (counts - 1) / 2)[place]
    num_positive = positive.sum()
    above = ranks[positive].sum() - num_positive * (num_positive + 1) / 2
    return above / (num_positive * (~positive).sum())


def _weighted_class_scores(
    log_probabilities: Tensor, probabilities: Tensor, classes: Tensor, weights: Tensor
) -> dict[str, Tensor]:
    num_classes = probabilities.shape[1]
    scored = range(num_classes) if num_classes > 2 else [1]
    areas = [weighted_area_under_roc(log_probabilities[:, c], classes == c, weights) for c in scored]
    surest, label = probabilities.max(1)
    stated, true = (surest, label == classes) if num_classes > 2 else (probabilities[:, 1], classes == 1)
    edges = torch.linspace(0, 1, NUM_BINS + 1, dtype=stated.dtype)
    bins = (torch.bucketize(stated.contiguous(), edges, right=True) - 1).clamp(0, NUM_BINS - 1)
    gaps = torch.zeros(NUM_BINS, dtype=stated.dtype).index_add(0, bins, weights * (true.double() - stated))
    return {
        "loss": mean_of_rows(F.nll_loss(log_probabilities, classes, reduction="none"), weights),
        "auroc": torch.stack(areas).nanmean(),
        "accuracy": mean_of_rows((label == classes).double(), weights),
        "calibration_error": gaps.abs().sum() / weights.sum(),
    }


def weighted_area_under_roc(scores: Tensor, positive: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted share of pairs whose positive row scores above the negative one, ties counting half."""
    values, place = scores.unique(return_inverse=True)
    ups, downs = (
        torch.zeros(len(values), dtype=weights.dtype).index_add(0, place[rows], weights[rows])
        for rows in (positive, ~positive)
    )
    below = downs.cumsum(0) - downs / 2
    return (ups * below).sum() / (ups.sum() * downs.sum())
