"""What training steps take: time, memory, and the norm of their gradients."""

import ctypes
import gc
import math
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.memory import is_oom_error
from torch import Tensor
from torch.optim import Optimizer

from src.callbacks.run_metrics import peak_memory_mb
from src.core.internals import leaves

WARM_UP = 1  # steps that are not timed: they allocate, choose kernels, compile


class StepGauge(pl.Callback):
    """Measures the steps of `training_steps`, of which it is a callback.

    losses, norms: one of each step.  tokens: elements of each timed step's batches, counted in their first tensor.
    seconds: of each timed step, without the time for its norm.
    The norm is that of all gradients, before they are clipped. With a gradient scaler, those that it skips, as they are
    not finite, do not count.
    """

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.norms: list[float] = []
        self.tokens: list[int] = []
        self.seconds: list[float] = []
        self._tokens = 0
        self._norms: list[float] = []  # of each optimizer
        self._spent = 0.0

    def take(self, steps: Iterator[float]) -> float:
        """Take the next step, measure it, and return its loss."""
        self._tokens, self._norms, self._spent = 0, [], 0.0
        started = time.perf_counter()
        self.losses.append(next(steps))  # a number, so that a GPU has finished the step
        seconds = time.perf_counter() - started - self._spent
        if self._norms:
            self.norms.append(math.hypot(*self._norms))
        if len(self.losses) > WARM_UP:
            self.seconds.append(seconds)
            self.tokens.append(self._tokens)
        return self.losses[-1]

    @property
    def tokens_per_second(self) -> float:
        """The median of the timed steps; NaN without any."""
        speeds = [tokens / seconds for tokens, seconds in zip(self.tokens, self.seconds, strict=True)]
        return median(speeds) if speeds else math.nan

    @property
    def step_s(self) -> float:
        """The median of the timed steps; NaN without any."""
        return median(self.seconds) if self.seconds else math.nan

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._tokens += next(leaf.numel() for leaf in leaves(batch) if isinstance(leaf, Tensor))

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize(pl_module.device)
        started = time.perf_counter()
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        norms = [torch.linalg.vector_norm(p.grad) for p in parameters if p.grad is not None]
        norm = math.hypot(*torch.stack(norms).tolist())
        if math.isfinite(norm) or getattr(trainer.precision_plugin, "scaler", None) is None:
            self._norms.append(norm)
        self._spent += time.perf_counter() - started


# ---- memory ----


def restart_peak(device: torch.device) -> None:
    """Let `peak_mb` tell the peak from here on. What is free goes back to the system before."""
    gc.collect(1)  # what steps leave behind is young; all of it would take 0.1 s
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    elif sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "malloc_trim"):
            libc.malloc_trim(0)
        # proc(5): 5 sets the process's peak to what it has now. A container may forbid it: then peaks only ever rise.
        with suppress(PermissionError):
            Path("/proc/self/clear_refs").write_text("5")


def peak_mb(device: torch.device) -> float:
    """The most memory since `restart_peak`: of tensors on a GPU, else what of this process was in memory, all of it.

    Other systems than Linux cannot forget a peak: there it is that of the process so far.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    status = Path("/proc/self/status")
    if not status.is_file():
        return peak_memory_mb()
    [line] = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 2**10


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory was used up, on a GPU or on the CPU."""
    return isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or is_oom_error(error)
