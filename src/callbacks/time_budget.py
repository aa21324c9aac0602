"""Ends a training with its schedule after so many steps, which a number of minutes may give."""

import math
from contextlib import closing
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from src.callbacks import clock
from src.callbacks.search.snapshot import undone
from src.callbacks.search.training_steps import TrainingBatches, rebuild_optimizers, training_steps
from src.core.output import note

WARM_UP = 3  # steps, not measured: the first ones also choose kernels and fill caches
MIN_STEPS = 5
SHARE = 0.05  # of the budget, which the measurement may take on top of it
MAX_SECONDS = 5.0
VALIDATION_SHARE = 1 / 3  # of a training step's time: a batch forward, without backward and step


class TimeBudget(Callback):
    """Turns trainer.max_minutes into a number of steps, and validates the last step, also within an epoch.

    A few training steps are timed before the first one, and undone. Their mean tells how many steps and validations fit
    into the minutes; the schedule then ends with the last step. The number is fixed from there on and kept in the
    checkpoint, so a resumed run goes on exactly, and `trainer.max_steps` with the same number repeats the training,
    also on another machine. How long it takes is an estimate: a machine that slows down takes longer, and callbacks
    that make later steps cheaper or dearer are not foreseen.

    Attributes:
        steps: what the minutes gave; None without, and before the training.
    """

    keeps_max_minutes = True

    def __init__(self) -> None:
        self.steps: int | None = None
        self._bound = -1  # the user's own max_steps

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit" and _minutes(trainer) is not None:
            self.steps, self._bound = None, trainer.max_steps
            _set_max_steps(trainer, 1)  # until the steps are timed, which needs an optimizer, which needs a schedule

    def state_dict(self) -> dict[str, Any]:
        return {} if self.steps is None else {"steps": self.steps}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if trainer.state.fn != "fit" or _minutes(trainer) is None:
            return
        self.steps = checkpoint.get("callbacks", {}).get(self.state_key, {}).get("steps")
        if self.steps is None:
            raise ValueError(
                "the checkpoint's training had no trainer.max_minutes: resume with trainer.max_minutes=null and its "
                "own length"
            )
        _set_max_steps(trainer, self.steps)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        minutes = _minutes(trainer)
        if minutes is None or self.steps is not None:
            return
        step_seconds = seconds_per_step(trainer, min(MAX_SECONDS, SHARE * 60 * minutes))
        fitting = steps_within(60 * minutes, step_seconds, trainer)
        self.steps = fitting if self._bound == -1 else min(fitting, self._bound)
        _set_max_steps(trainer, self.steps)
        rebuild_optimizers(trainer)
        if trainer.is_global_zero:
            note(_told(trainer, minutes, self.steps, step_seconds))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if 0 < trainer.max_steps <= trainer.global_step:
            trainer.should_stop = True  # unlike max_steps alone, this has Lightning validate first


def seconds_per_step(trainer: Trainer, seconds: float) -> float:
    """The mean time of a training step, timed for so many seconds or for five steps; all steps are undone."""
    with undone(trainer), closing(TrainingBatches(trainer)) as batches:
        steps = training_steps(trainer, batches)
        for _ in range(WARM_UP):
            next(steps)
        start, timed, taken = clock.now(), 0, 0.0
        while timed < MIN_STEPS or taken < seconds:
            next(steps)
            timed += 1
            taken = trainer.strategy.broadcast(clock.now() - start)  # all ranks take as many steps
    return taken / timed


def steps_within(seconds: float, step_seconds: float, trainer: Trainer) -> int:
    """How many steps, with the validations among them and the one at the end, fit into so many seconds; at least 1."""
    validation = VALIDATION_SHARE * step_seconds * sum(trainer.num_val_batches)
    every = trainer.val_check_batch or math.inf
    batches = every if every < math.inf else trainer.num_training_batches
    between = batches * (trainer.check_val_every_n_epoch or 1) / trainer.accumulate_grad_batches
    return max(1, int((seconds - validation) / (step_seconds + validation / between)))


def _minutes(trainer: Any) -> float | None:
    return getattr(trainer, "max_minutes", None)  # Lightning's own Trainer has none


def _set_max_steps(trainer: Trainer, steps: int) -> None:
    trainer.fit_loop.epoch_loop.max_steps = steps


def _told(trainer: Trainer, minutes: float, steps: int, step_seconds: float) -> str:
    epochs = steps * trainer.accumulate_grad_batches / trainer.num_training_batches
    told = f"trainer.max_minutes={minutes:g}: {steps:,} steps of {step_seconds:.3g} s, {epochs:.2f} epochs"
    length = trainer.estimated_stepping_batches
    if length < steps:
        return f"{told}; trainer.max_epochs={trainer.max_epochs} ends the training before, after {length:,}"
    return f"{told}; trainer.max_steps={steps} repeats this training"
