"""A callback that benchmark_scaling adds to a run."""

import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl


class FirstStep(pl.Callback):
    """Writes the time of its first training step into folder/RANK, in seconds of the wall clock."""

    def __init__(self, *, folder: str) -> None:
        self.folder = Path(folder)

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx == 0:
            (self.folder / str(trainer.global_rank)).write_text(str(time.time()))
