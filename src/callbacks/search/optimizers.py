"""Has a training's optimizers and schedulers made anew, for finders that change what they are made from."""

from typing import Any

import pytorch_lightning as pl
from torch.optim import Optimizer

from src.callbacks.search.snapshot import random_state_kept


def rebuild_optimizers(trainer: pl.Trainer) -> bool:
    """Call configure_optimizers again, before the first step; whether what it makes is taken.

    The old ones stay if the new ones would hold other parameters, because some are frozen, or have been added, since.
    """
    strategy: Any = trainer.strategy
    built = strategy.optimizers, strategy.lr_scheduler_configs
    with random_state_kept():
        strategy.setup_optimizers(trainer)
    is_taken = _held(strategy.optimizers) == _held(built[0])
    if not is_taken:
        strategy.optimizers, strategy.lr_scheduler_configs = built
    return is_taken


def _held(optimizers: list[Optimizer]) -> list[list[list[int]]]:
    """The identities of the parameters in each group of each optimizer."""
    return [[list(map(id, group["params"])) for group in optimizer.param_groups] for optimizer in optimizers]
