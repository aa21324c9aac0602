"""Scores of a table's predictions over all rows at once: exact for any batches and ranks."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error
from torchmetrics.utilities import dim_zero_cat


class TabularScores(Metric):
    """Keeps all predictions and targets, 4 bytes per number, and scores them at the end, on the CPU in float64.

    Args:
        score: Returns named scores of predictions, (rows, outputs), and targets.
    """

    predictions: list[Tensor]
    targets: list[Tensor]

    def __init__(self, score: Callable[[Tensor, Tensor], dict[str, Tensor]]) -> None:
        super().__init__()
        self.score = score
        self.add_state("predictions", default=[], dist_reduce_fx="cat")
        self.add_state("targets", default=[], dist_reduce_fx="cat")

    def update(self, predictions: Tensor, targets: Tensor) -> None:
        """Keep a batch."""
        self.predictions.append(predictions)
        self.targets.append(targets)

    def compute(self) -> dict[str, Tensor]:
        """Return the scores of all rows."""
        predictions, targets = dim_zero_cat(self.predictions).cpu().double(), dim_zero_cat(self.targets).cpu()
        return {name: score.float() for name, score in self.score(predictions, targets).items()}


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


def regression_scores(predictions: Tensor, targets: Tensor, names: list[str]) -> dict[str, Tensor]:
    """Return RMSE and MAE, and if all targets are positive RMSPE and MAPE, the same of relative errors.

    Several targets give the means over the targets, and each target's own scores as `rmse_NAME`.
    """
    errors = predictions - targets
    by_target = {"rmse": errors.square().mean(0).sqrt(), "mae": errors.abs().mean(0)}
    if (targets > 0).all():
        relative = errors / targets
        by_target |= {"rmspe": relative.square().mean(0).sqrt(), "mape": relative.abs().mean(0)}
    scores = {name: values.mean() for name, values in by_target.items()}
    if len(names) > 1:
        scores |= {f"{score}_{n}": v for score, values in by_target.items() for n, v in zip(names, values, strict=True)}
    return scores
