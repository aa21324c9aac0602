"""Writes metrics.json, a flat map of a run's final numbers, and logs numbers about its steps."""

import json
import math
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch.optim import Optimizer

from src.callbacks import clock
from src.callbacks.memory import peak_of_run_mb
from src.core.files import read_json, write_text
from src.core.internals import is_row_due, logged_step
from src.core.saving import saving
from src.core.sharding import is_sharded


class Stopwatch:
    """Adds up the seconds between each start and stop."""

    def __init__(self) -> None:
        self._total = 0.0
        self._started: float | None = None

    def reset(self, total: float) -> None:
        """Stop and set the time to `total`."""
        self._total, self._started = total, None

    def start(self) -> None:
        self.reset(self.seconds)
        self._started = clock.now()

    def stop(self) -> None:
        self.reset(self.seconds)

    @property
    def seconds(self) -> float:
        """The time so far, whether it is running or not."""
        return self._total + (clock.now() - self._started if self._started is not None else 0.0)


class RunMetrics(Callback):
    """Collects the logged scores of fit, validate and test, the time, the speed and the peak memory.

    metrics.json holds for the whole run, including the run that a resumed run continues:

    - time/fit_s: from the first training step to the end of fit, with validation, checkpoints and finders.
    - time/train_s: the same without validation and finders.
    - train/samples_per_second or train/tokens_per_second: over all ranks, per second of time/train_s.
    - memory/peak_mb: of the process on a CPU, of the tensors on a GPU.

    Loggers get a row every log_every_n_steps, which metrics.json does not hold: train/lr and train/momentum of the
    last parameter group (Adam's momentum is its first beta); train/grad_norm of the whole gradient before clipping (not
    with FSDP, where no rank has all of it); the speed since the last row; memory/mb, the peak so far. This costs 2 us a
    step and 190 us a row (30 tensors, on a CPU): with 50 steps a row less than 0.1 % of a table's step of 7 ms.

    A number that is not finite is written as null, because JSON has no NaN. Scoring a run in its own run_dir adds to
    the file; a new training replaces it.

    Args:
        path: of metrics.json.
        unit: samples, or tokens, of which a batch has as many as its first tensor has elements.
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
        self._step: dict[str, Any] = {}  # what loggers get about this step
        self._last_row: tuple[float, int] | None = None  # seconds of training, and samples or tokens, until then

    def state_dict(self) -> dict[str, Any]:
        return {"fit_s": self._fit.seconds, "train_s": self._train.seconds, self.unit: self._seen}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._stopped_run = state_dict

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self.metrics = self._read() if stage != "fit" else {}

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.ckpt_path is not None:  # Lightning does not know it in setup
            self.metrics = self._read()
        # Only a training adds to what was loaded: a test also loads a state, that of the best checkpoint.
        before, self._stopped_run = self._stopped_run, {}
        self._seen = before.get(self.unit, 0)
        self._fit.reset(before.get("fit_s", 0.0))
        self._train.reset(before.get("train_s", 0.0))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._fit.start()
        self._train.start()
        self._last_row = None

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if self._last_row is None:  # not earlier: a finder may run first
            self._last_row = self._train.seconds, self._seen

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        # Here, because the schedule changes the lr before the batch ends.
        if trainer.is_global_zero and trainer.loggers and is_row_due(trainer):
            group = optimizer.param_groups[-1]
            self._step = {
                "train/lr": group["lr"],
                "train/momentum": group["betas"][0] if "betas" in group else group.get("momentum"),
                "train/grad_norm": None if is_sharded(trainer) else gradient_norm(pl_module),
            }

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        size = batch[0].numel() if self.unit == "tokens" else len(batch[0])
        self._seen += size * trainer.world_size
        if self._step:
            self._log_step(trainer)

    def _log_step(self, trainer: Trainer) -> None:
        assert self._last_row is not None
        seconds, seen = self._last_row
        self._last_row = self._train.seconds, self._seen
        row = {name: float(value) for name, value in self._step.items() if value is not None}
        row[f"train/{self.unit}_per_second"] = (self._seen - seen) / (self._last_row[0] - seconds)
        row["memory/mb"] = peak_of_run_mb()
        for logger in trainer.loggers:  # not by the model's `log`, which would add them to callback_metrics
            logger.log_metrics(row, step=logged_step(trainer))
        self._step = {}

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Only a validation within fit; the sanity check comes before the training.
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._train.stop()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn == "validate":
            self._write(trainer)
        elif not trainer.sanity_checking:
            self._train.start()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        # Not on_fit_end, which Lightning skips when a finder ends fit.
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

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._write(trainer)

    def _read(self) -> dict[str, float | None]:
        return read_json(self.path, dict) or {}

    def _write(self, trainer: Trainer) -> None:
        if not trainer.is_global_zero:
            return
        # A float32 as its shortest decimal: 0.0148, not 0.014800000004470348.
        self.metrics |= {name: float(str(value.cpu().numpy())) for name, value in trainer.callback_metrics.items()}
        self.metrics["memory/peak_mb"] = max(peak_of_run_mb(), self.metrics.get("memory/peak_mb") or 0.0)
        written = {
            name: value if value is not None and math.isfinite(value) else None for name, value in self.metrics.items()
        }
        with saving(self.path):
            write_text(self.path, json.dumps(written, indent=2, sort_keys=True, allow_nan=False) + "\n")


def gradient_norm(module: LightningModule) -> torch.Tensor | None:
    """The Euclidean norm of all gradients together; None if there are none, as in a skipped step."""
    gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
    return torch.stack([torch.linalg.vector_norm(g).float() for g in gradients]).norm() if gradients else None
