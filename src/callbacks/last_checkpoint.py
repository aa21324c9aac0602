"""Saves last.ckpt after a validation, unless the training would spend too much of its time on saving."""

from collections.abc import Callable
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from src.callbacks import clock


class LastCheckpoint(ModelCheckpoint):
    """A ModelCheckpoint that leaves out saves which follow one another too soon.

    Without it, a save of 20 ms after each epoch of 200 ms would take a tenth of the training. StopSignals also saves
    last.ckpt: every few minutes, at the end and on a signal.

    Args:
        dirpath: the folder.
        pause_factor: after a save, the next ones are left out for so many times as long as it took: 50 spends at most
            2 % of the time, 0 leaves out none.
    """

    def __init__(self, *, dirpath: str, pause_factor: float) -> None:
        super().__init__(dirpath, filename="last", enable_version_counter=False)
        self.pause_factor = pause_factor
        self._next = 0.0  # seconds of the clock; not sooner

    @property
    def state_key(self) -> str:
        # That of its base class: a checkpoint from before this class resumes without a warning.
        return super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        self._next = clock.now()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._unless_too_soon(super().on_validation_end, trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._unless_too_soon(super().on_train_epoch_end, trainer, pl_module)

    def _unless_too_soon(self, hook: Callable[..., Any], trainer: Trainer, pl_module: LightningModule) -> None:
        started, saved = clock.now(), self._last_global_step_saved
        if not trainer.strategy.broadcast(started >= self._next):  # the ranks' clocks differ
            return
        hook(trainer, pl_module)
        if self._last_global_step_saved != saved:
            self._next = clock.now() + self.pause_factor * (clock.now() - started)
