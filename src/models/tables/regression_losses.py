"""What a regression on a table may minimise."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

LOSSES: dict[str, Callable[..., Tensor]] = {
    "mse": F.mse_loss,
    "l1": F.l1_loss,
    "poisson": partial(F.poisson_nll_loss, log_input=False),
}
LOG_RATES = -15.0, 30.0  # of counts: beyond, the loss or its gradient would vanish or overflow


def regression_loss_of(choice: str | float) -> Callable[..., Tensor]:
    """Return the loss of a name or of a quantile; ValueError for others."""
    if isinstance(choice, float) and 0 < choice < 1:
        return partial(quantile_loss, share=choice)
    if choice not in LOSSES:
        raise ValueError(f"model.regression_loss must be {', '.join(LOSSES)} or a quantile such as 0.9, got {choice}")
    return LOSSES[str(choice)]


def quantile_loss(outputs: Tensor, targets: Tensor, *, share: float, reduction: str = "mean") -> Tensor:
    """Return the pinball loss, which is least where `share` of the targets are below the output.

    Source: Koenker and Bassett 1978. With 0.5 it is half the absolute error.
    """
    errors = targets - outputs
    losses = torch.maximum(share * errors, (share - 1) * errors)
    return losses.mean() if reduction == "mean" else losses


def check_counts(spec: dict[str, Any]) -> None:
    """Raise ValueError unless the targets are learned as they are and none is negative, as Poisson's loss needs it."""
    scaling, lowest = spec["processing"]["target"]["kind"], min(low for low, _ in spec["target_range"])
    if scaling != "none" or lowest < 0:
        found = f"datamodule.target_scaling={scaling}" if scaling != "none" else f"a target of {lowest:g}"
        raise ValueError(
            "model.regression_loss=poisson is for counts: targets of 0 or more, and datamodule.target_scaling=none; "
            f"got {found}"
        )
