"""Scores of a table's classes over all rows at once."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error


def class_scores(log_probabilities: Tensor, classes: Tensor) -> dict[str, Tensor]:
    """Return log loss, AUROC, accuracy and calibration error (15 bins).

    AUROC is the mean over the classes, each against all others; with two classes both are equal. The calibration error
    is that of the second of two classes, or of the most probable of more.
    """
    probabilities = log_probabilities.exp()
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
