"""Trains the head first, then the whole net: fast.ai's way of fine-tuning."""

from typing import Any

import pytorch_lightning as pl
from torch.nn.parallel import DistributedDataParallel


class Freezing(pl.Callback):
    """For the first `epochs` epochs only the last layer group and the norm layers train, then everything does.

    The LightningModule does it: `freeze_body()` and `unfreeze_body()` (src/models/base.py). The optimizer holds all
    parameters from the beginning, so the schedule and a resumed run know nothing of it.
    Distributed training needs strategy=ddp_find_unused_parameters_true: DDP must expect parameters without gradients.
    """

    def __init__(self, *, epochs: int) -> None:
        """Raises ValueError if `epochs` is negative."""
        if epochs < 0:
            raise ValueError(f"freezing.epochs must not be negative, got {epochs}")
        self.epochs = epochs
        self._is_frozen = False

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if not hasattr(pl_module, "freeze_body"):
            raise TypeError(f"freezing needs a model with freeze_body(), {type(pl_module).__name__} has none")

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        model = trainer.strategy.model
        if self.epochs and isinstance(model, DistributedDataParallel) and not model.find_unused_parameters:
            raise ValueError("freezing with DDP needs trainer.strategy=ddp_find_unused_parameters_true")
        # A run that is resumed within an epoch gets no on_train_epoch_start.
        self._set_frozen(trainer.current_epoch < self.epochs, pl_module)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._set_frozen(trainer.current_epoch < self.epochs, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._set_frozen(False, pl_module)

    def _set_frozen(self, is_frozen: bool, model: Any) -> None:
        if is_frozen != self._is_frozen:
            model.freeze_body() if is_frozen else model.unfreeze_body()
        self._is_frozen = is_frozen
