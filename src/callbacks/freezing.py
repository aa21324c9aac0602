"""Trains the head first, then the whole net: fast.ai's way of fine-tuning."""

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from torch.nn.parallel import DistributedDataParallel


class Freezing(Callback):
    """Trains only the last layer group and the norm layers for the first epochs, then everything.

    It calls the LightningModule's `freeze_body()` and `unfreeze_body()` (src/models/base.py). The optimizer holds all
    parameters from the start, which keeps schedule and resuming unaffected. DDP needs
    trainer.strategy=ddp_find_unused_parameters_true, as frozen parameters get no gradients.

    Args:
        epochs: how many epochs to freeze, 0 or more.
    """

    def __init__(self, *, epochs: int) -> None:
        if epochs < 0:
            raise ValueError(f"freezing.epochs must not be negative, got {epochs}")
        self.epochs = epochs
        self._is_frozen = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if not hasattr(pl_module, "freeze_body"):
            raise TypeError(f"freezing needs a model with freeze_body(), {type(pl_module).__name__} has none")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        model = trainer.strategy.model
        if self.epochs and isinstance(model, DistributedDataParallel) and not model.find_unused_parameters:
            raise ValueError("freezing with DDP needs trainer.strategy=ddp_find_unused_parameters_true")
        # A run that resumes within an epoch gets no on_train_epoch_start.
        self._set_frozen(trainer.current_epoch < self.epochs, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._set_frozen(trainer.current_epoch < self.epochs, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._set_frozen(False, pl_module)

    def _set_frozen(self, is_frozen: bool, model: Any) -> None:
        if is_frozen != self._is_frozen:
            model.freeze_body() if is_frozen else model.unfreeze_body()
        self._is_frozen = is_frozen
