"""A finder's search by hand: at the start of the training that fit would do, which is left to come."""

import copy
from collections.abc import Callable
from typing import Any, TypeVar

import pytorch_lightning as pl

from src.callbacks.random_state import random_state, set_random_state
from src.core.internals import EndOfFit

Found = TypeVar("Found")


def search_once(search: Callable[[pl.Trainer], Found], trainer: Any, model: pl.LightningModule, **data: Any) -> Found:
    """Call `search` with the trainer right before the first training step, end fit there, and return what it returned.

    data: the arguments of fit. No callback and no logger hears of it; trainer and random state are as before.
    Raises ValueError if this trainer's last epoch is over.
    """
    once = _Once(search)
    kept = trainer.callbacks, trainer.loggers, trainer.num_sanity_val_steps
    progress = copy.deepcopy(trainer.fit_loop.epoch_progress)
    trainer.callbacks, trainer.loggers, trainer.num_sanity_val_steps = [once], [], 0
    once.random_state = random_state()
    try:
        trainer.fit(model, **data)
    finally:
        trainer.callbacks, trainer.loggers, trainer.num_sanity_val_steps = kept
        trainer.fit_loop.epoch_progress = progress
        set_random_state(once.random_state)
    if not once.found:
        raise ValueError("a finder searches before a training step, and this trainer's last epoch is over")
    return once.found[0]


class _Once(pl.Callback):
    """Searches when the first epoch starts, then ends fit.

    random_state: from which the training to come draws what a training without the search would: as it was before fit,
    but after the net was built, if fit builds it, since that is done once.
    """

    def __init__(self, search: Callable[[pl.Trainer], Any]) -> None:
        self.search = search
        self.found: list[Any] = []
        self.random_state: dict[str, Any] = {}

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._num_parameters = len(list(pl_module.parameters()))

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if len(list(pl_module.parameters())) > self._num_parameters:
            self.random_state = random_state()

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.found = [self.search(trainer)]
        raise EndOfFit
