"""Writes metrics.json: the final numbers of a run, as one flat map; tells loggers how its steps went."""

import json
import math
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch.optim import Optimizer

from src.callbacks import clock
from src.callbacks.memory import peak_of_run_mb
from src.core.files import write_text
from src.core.internals import is_row_due, logged_step
from src.core.sharding import is_sharded


class Stopwatch:
    """Counts the seconds between start and stop, over and over."""

    def __init__(self) -> None:
        self._total = 0.0
        self._started: float | None = None

    def reset(self, total: float) -> None:
        """Stand still at `total`."""
        self._total, self._started = total, None

    def start(self) -> None:
        self.reset(self.seconds)
        self._started = clock.now()

    def stop(self) -> None:
        self.reset(self.seconds)

    @property
    def seconds(self) -> float:
        """Counted so far, whether it is running or not."""
        return self._total + (clock.now() - self._started if self._started is not None else 0.0)


class RunMetrics(pl.Callback):
    """Collects the logged scores of fit, validate and test, the time, the speed and the peak memory.

    time/fit_s: from the first training step to the end of fit, validation, checkpoints and searches for a learning rate
    included.  time/train_s: the same without validation and searches.  train/samples_per_second: rows trained on per
    `train_s`, over all ranks; train/tokens_per_second in its place if `unit` is tokens, of which a batch has as many as
    its first tensor has elements.  These, and memory/peak_mb (of the process on a CPU, of the tensors on a GPU), are of
    the whole run: a resumed one adds to what the stopped one had at its last checkpoint.

    At each of the trainer's log_every_n_steps the loggers get a row that metrics.json is not to have: train/lr and
    train/momentum of the step, of the last parameter group (Adam's momentum is its first beta); train/grad_norm, of the
    whole gradient before it is clipped (not with FSDP, where no rank has all of it); the speed since the row before,
    named as above; memory/mb, as memory/peak_mb so far. It costs 2 us a step, and 190 us a row (30 tensors, on a CPU):
    at 50 steps a row less than 0.1 % of a table's step of 7 ms.

    A number that is not finite is written as null, which JSON has, in place of NaN, which it has not. Scoring a run in
    its own run_dir adds to the numbers that are there; a new training replaces them.
    """

    def __init__(self, *, path: str, unit: str) -> None:
        if unit not in ("samples", "tokens"):
            raise ValueError(f"run_metrics.unit must be samples or tokens, got {unit}")
        self.path = Path(path)
        self.metrics: dict[str, float | None] = {}
        self._fit = Stopwatch()
        self._train = Stopwatch()
        self.unit = unit
        self._seen = 0  # samples or tokens
        self._stopped_run: dict[str, Any] = {}
        self._step: dict[str, Any] = {}  # what is to be logged of it
        self._last_row: tuple[float, int] | None = None  # seconds of training, and what was seen, until then

    def state_dict(self) -> dict[str, Any]:
        return {"fit_s": self._fit.seconds, "train_s": self._train.seconds, self.unit: self._seen}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._stopped_run = state_dict

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self.metrics = self._read() if stage != "fit" else {}

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.ckpt_path is not None:  # Lightning does not know it before
            self.metrics = self._read()
        # Only a training adds to what was loaded: a test loads the state of the best checkpoint, too.
        before, self._stopped_run = self._stopped_run, {}
        self._seen = before.get(self.unit, 0)
        self._fit.reset(before.get("fit_s", 0.0))
        self._train.reset(before.get("train_s", 0.0))

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._fit.start()
        self._train.start()
        self._last_row = None

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self._last_row is None:  # not before: a search for a learning rate may come first
            self._last_row = self._train.seconds, self._seen

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        # Here, since the schedule goes on before the batch ends.
        if trainer.is_global_zero and trainer.loggers and is_row_due(trainer):
            group = optimizer.param_groups[-1]
            self._step = {
                "train/lr": group["lr"],
                "train/momentum": group["betas"][0] if "betas" in group else group.get("momentum"),
                "train/grad_norm": None if is_sharded(trainer) else gradient_norm(pl_module),
            }

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        size = batch[0].numel() if self.unit == "tokens" else len(batch[0])
        self._seen += size * trainer.world_size
        if self._step:
            self._log_step(trainer)

    def _log_step(self, trainer: pl.Trainer) -> None:
        assert self._last_row is not None
        seconds, seen = self._last_row
        self._last_row = self._train.seconds, self._seen
        row = {name: float(value) for name, value in self._step.items() if value is not None}
        row[f"train/{self.unit}_per_second"] = (self._seen - seen) / (self._last_row[0] - seconds)
        row["memory/mb"] = peak_of_run_mb()
        for logger in trainer.loggers:  # not by the model's `log`, but under the number that Lightning gives the step
            logger.log_metrics(row, step=logged_step(trainer))
        self._step = {}

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Fit's own validation only; its sanity check comes before the training.
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._train.stop()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.state.fn == "validate":
            self._write(trainer)
        elif not trainer.sanity_checking:
            self._train.start()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        # Not on_fit_end, which is left out when a search ends fit.
        if stage != "fit":
            return
        self._fit.stop()
        searches = (trainer.callback_metrics.get(f"time/{finder}_s", 0.0) for finder in ("lr_finder", "bptt_finder"))
        self._train.reset(self._train.seconds - sum(map(float, searches)))
        self.metrics |= {
            "time/fit_s": self._fit.seconds,
            "time/train_s": self._train.seconds,
            f"train/{self.unit}_per_second": self._seen / self._train.seconds if self._seen else 0.0,
            "train/epochs": trainer.current_epoch,
            "train/steps": trainer.global_step,
        }
        self._write(trainer)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._write(trainer)

    def _read(self) -> dict[str, float | None]:
        return json.loads(self.path.read_text()) if self.path.is_file() else {}

    def _write(self, trainer: pl.Trainer) -> None:
        if not trainer.is_global_zero:
            return
        # A float32 as the shortest decimal that it is: 0.0148 and not 0.014800000004470348.
        self.metrics |= {name: float(str(value.cpu().numpy())) for name, value in trainer.callback_metrics.items()}
        self.metrics["memory/peak_mb"] = max(peak_of_run_mb(), self.metrics.get("memory/peak_mb") or 0.0)
        written = {
            name: value if value is not None and math.isfinite(value) else None for name, value in self.metrics.items()
        }
        write_text(self.path, json.dumps(written, indent=2, sort_keys=True, allow_nan=False) + "\n")


def gradient_norm(module: pl.LightningModule) -> torch.Tensor | None:
    """The Euclidean length of all gradients as one; None if there is none, as of a step that is left out."""
    gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
    return torch.stack([torch.linalg.vector_norm(g).float() for g in gradients]).norm() if gradients else None
