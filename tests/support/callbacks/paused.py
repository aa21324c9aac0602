"""A callback that holds a training in the middle until a file exists."""

import time
from pathlib import Path

import pytorch_lightning as pl


class Paused(pl.Callback):
    """Before the second epoch, waits for a file."""

    def __init__(self, *, until: str) -> None:
        self.until = Path(until)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        while trainer.current_epoch == 1 and not self.until.is_file():
            time.sleep(0.05)
