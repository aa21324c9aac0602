"""Scores of a model's outputs over all rows at once: exact for any batches and ranks."""

from collections.abc import Callable

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


class RowScores(Metric):
    """Keeps all predictions and targets, 4 bytes per number, and scores them at the end, on the CPU in float64.

    Args:
        score: Returns named scores of predictions, (rows, outputs), of targets and, if there are some, of weights.
        weighted: Whether each row has a weight.
    """

    predictions: list[Tensor]
    targets: list[Tensor]
    weights: list[Tensor]

    def __init__(self, score: Callable[..., dict[str, Tensor]], *, weighted: bool = False) -> None:
        super().__init__()
        self.score = score
        self.weighted = weighted
        if weighted:
            self.add_state("weights", default=[], dist_reduce_fx="cat")
        self.add_state("predictions", default=[], dist_reduce_fx="cat")
        self.add_state("targets", default=[], dist_reduce_fx="cat")

    def update(self, predictions: Tensor, targets: Tensor, *weights: Tensor) -> None:
        """Keep a batch."""
        if self.weighted:
            self.weights += weights
        self.predictions.append(predictions)
        self.targets.append(targets)

    def compute(self) -> dict[str, Tensor]:
        """Return the scores of all rows."""
        predictions, targets = dim_zero_cat(self.predictions).cpu().double(), dim_zero_cat(self.targets).cpu()
        weights = [dim_zero_cat(self.weights).cpu().double()] if self.weighted else []
        return {name: score.float() for name, score in self.score(predictions, targets, *weights).items()}


def regression_scores(
    predictions: Tensor, targets: Tensor, names: list[str], weights: Tensor | None = None
) -> dict[str, Tensor]:
    """Return R2, RMSE and MAE, and if all targets are positive RMSPE and MAPE, the same of relative errors.

    R2 is the explained share of the targets' variance; of targets that are all the same, 1 if every prediction is exact
    and else 0. Several targets give the means over the targets, and each target's own scores as `rmse_NAME`.

    Args:
        predictions, targets: (rows, targets), in the targets' units.
        names: of the targets.
        weights: (rows,), by which rows count in all means; None: alike.
    """
    errors = predictions - targets
    squares = mean_of_rows(errors.square(), weights)
    by_target = {
        "r2": _explained(squares, targets, weights),
        "rmse": squares.sqrt(),
        "mae": mean_of_rows(errors.abs(), weights),
    }
    if (targets > 0).all():
        relative = errors / targets
        by_target["rmspe"] = mean_of_rows(relative.square(), weights).sqrt()
        by_target["mape"] = mean_of_rows(relative.abs(), weights)
    scores = {name: values.mean() for name, values in by_target.items()}
    if len(names) > 1:
        scores |= {f"{score}_{n}": v for score, values in by_target.items() for n, v in zip(names, values, strict=True)}
    return scores


def mean_of_rows(values: Tensor, weights: Tensor | None) -> Tensor:
    """Return the mean over the first dimension, weighted if there are weights, (rows,)."""
    return values.mean(0) if weights is None else torch.tensordot(weights / weights.sum(), values, 1)


def _explained(squares: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
    # Not by a variance of 0, which rounding makes slightly more.
    is_constant = (targets == targets[:1]).all(0)
    variance = targets.var(0, correction=0)
    if weights is not None:
        variance = mean_of_rows((targets - mean_of_rows(targets, weights)).square(), weights)
    shares = 1 - squares / torch.where(is_constant, 1, variance)
    return torch.where(is_constant, (squares == 0).to(squares), shares)
