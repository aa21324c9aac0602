"""A callback that keeps the checkpoint of one step."""

import os
from typing import Any

import pytorch_lightning as pl


class Keep(pl.Callback):
    """Saves a checkpoint after an optimizer step.

    Args:
        path: of the checkpoint.
        step: after how many steps.
        stop: whether the process then ends, as if the machine had failed, or the training goes on.
    """

    def __init__(self, *, path: str, step: int, stop: bool) -> None:
        self.path = path
        self.step = step
        self.stop = stop

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == self.step:
            trainer.save_checkpoint(self.path)
            if self.stop:
                os._exit(0)
