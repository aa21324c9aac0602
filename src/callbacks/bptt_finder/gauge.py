"""Measures training steps: their time, their tokens, and the norm of their gradients."""

import math
from collections.abc import Iterator
from statistics import median
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from src.callbacks import clock
from src.core.internals import leaves

WARM_UP = 1  # steps that are not timed: they allocate, choose kernels, compile


class StepGauge(Callback):
    """Measures the steps of `training_steps`, to which it is given as a callback.

    Attributes:
        losses: one for each step.
        norms: of all gradients of a step, before clipping; without steps that a gradient scaler skips.
        tokens: for each timed step, the elements in the first tensor of its batches.
        seconds: for each timed step, without the time for its norm.
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
        started = clock.now()
        self.losses.append(next(steps))  # a number: a GPU has finished the step
        seconds = clock.now() - started - self._spent
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

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._tokens += next(leaf.numel() for leaf in leaves(batch) if isinstance(leaf, Tensor))

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize(pl_module.device)
        started = clock.now()
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        norms = [torch.linalg.vector_norm(p.grad) for p in parameters if p.grad is not None]
        norm = math.hypot(*torch.stack(norms).tolist())
        if math.isfinite(norm) or getattr(trainer.precision_plugin, "scaler", None) is None:
            self._norms.append(norm)
        self._spent += clock.now() - started
