"""Writes metrics.json: the final numbers of a run, as one flat map."""

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch


class RunMetrics(pl.Callback):
    """Collects the logged scores of fit, validate and test, the time, the speed and the peak memory.

    time/fit_s: from the first training step to the end of fit, validation and checkpoints included.
    time/train_s: the part of it spent in training epochs.  train/samples_per_second: rows trained on per `train_s`,
    over all ranks.  memory/peak_mb: of the process on the CPU, of the tensors on a GPU.
    """

    def __init__(self, *, path: str) -> None:
        self.path = Path(path)
        self.metrics: dict[str, float] = {}
        self._train_s = 0.0
        self._samples = 0
        self._warm_samples = 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._fit_started = time.perf_counter()
        self._paused = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._epoch_started = time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._samples += len(batch[0]) * trainer.world_size

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._validation_started = time.perf_counter()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit":
            self._train_s -= time.perf_counter() - self._validation_started

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._train_s += time.perf_counter() - self._epoch_started

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.metrics |= {
            "time/fit_s": time.perf_counter() - self._fit_started,
            "time/train_s": self._train_s,
            "train/samples_per_second": self._samples / self._train_s if self._train_s else 0.0,
            "train/epochs": trainer.current_epoch,
            "train/steps": trainer.global_step,
        }
        self._write(trainer)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        pass

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._write(trainer)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "validate":
            self._write(trainer)

    def _write(self, trainer: pl.Trainer) -> None:
        if not trainer.is_global_zero:
            return
        self.metrics |= {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.metrics["memory/peak_mb"] = peak_memory_mb()
        staged = self.path.with_suffix(".tmp")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        staged.write_text(json.dumps(self.metrics, indent=2, sort_keys=True) + "\n")
        os.replace(staged, self.path)


def peak_memory_mb() -> float:
    """The most memory in use so far: of tensors on the GPU if there is one, else of this process."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10  # bytes there, KiB here
