"""Reads and moves the peak learning rate of a schedule, with any optimizers and schedulers."""

import math
import warnings
from dataclasses import dataclass
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.utilities.parsing import lightning_getattr, lightning_hasattr, lightning_setattr
from torch import Tensor
from torch.optim import Optimizer

from src.callbacks.search.snapshot import all_schedulers, undone
from src.callbacks.search.training_steps import rebuild_optimizers
from src.core.internals import SCHEDULER_RATES

GROUP_RATES = ("lr", "initial_lr", "max_lr", "min_lr")  # min_lr is OneCycleLR's final rate, a share of its peak
MOMENTA = ("momentum", "betas")


def peak_lrs(trainer: Trainer) -> dict[Optimizer, list[float]]:
    """The peak lr of each parameter group of each optimizer.

    For OneCycleLR and CyclicLR it is their maximum; for other schedulers the optimizer's own lr, which they multiply.
    """
    peaks = {
        optimizer: [group.get("max_lr", group.get("initial_lr", group["lr"])) for group in optimizer.param_groups]
        for optimizer in trainer.optimizers
    }
    for scheduler in all_schedulers(trainer):
        if hasattr(scheduler, "max_lrs"):  # CyclicLR
            peaks[scheduler.optimizer] = scheduler.max_lrs
    return {optimizer: [float(peak) for peak in of_groups] for optimizer, of_groups in peaks.items()}


def reference_peak(trainer: Trainer) -> float:
    """The peak lr of the first optimizer's last group, which is called the training's lr.

    Raises:
        ValueError: it is not positive, and the others have no ratio to it.
    """
    peak = next(iter(peak_lrs(trainer).values()))[-1]
    if not peak > 0:
        raise ValueError(f"the last parameter group's lr must be positive for its schedule to be scaled, got {peak}")
    return peak


def scale_lrs(trainer: Trainer, factor: float) -> None:
    """Multiply every lr of all optimizers and schedulers, as if the schedule had been built from other peaks.

    Absolute floors (eta_min, min_lr of ReduceLROnPlateau) stay.
    """
    for optimizer in trainer.optimizers:
        for group in optimizer.param_groups:
            group.update({name: group[name] * factor for name in GROUP_RATES if name in group})
    for scheduler in all_schedulers(trainer):
        for name in SCHEDULER_RATES:
            if hasattr(scheduler, name):
                setattr(scheduler, name, [rate * factor for rate in getattr(scheduler, name)])


def move_peak(trainer: Trainer, peak: float) -> float | None:
    """Continue the training with another peak: build its schedule again before the first step, else scale it.

    Building sets the module's own `lr` or `learning_rate` and calls configure_optimizers. The schedule is scaled
    instead if the module has no such number, if its optimizers do not follow it, or if they would now hold other
    parameters because some were frozen or added.

    Returns:
        The module's new lr, if it was set.
    """
    before, module_lr = reference_peak(trainer), None
    if trainer.global_step == 0:
        module_lr = set_module_lr(trainer.lightning_module, peak, before)
    if module_lr is not None:
        rebuild_optimizers(trainer)
    now = reference_peak(trainer)
    if not math.isclose(now, peak, rel_tol=1e-12):
        scale_lrs(trainer, peak / now)
    return module_lr


def set_module_lr(module: LightningModule, peak: float, before: float | None = None) -> float | None:
    """Set the learning rate that a module, its hparams or its datamodule holds.

    Args:
        module: the LightningModule.
        peak: the new peak.
        before: the old peak; if the module's number differs from it, it is scaled in proportion.

    Returns:
        The new number; None if the module has none.
    """
    for name in ("lr", "learning_rate"):
        if isinstance(getattr(type(module), name, None), property):
            continue  # computed: it cannot be set
        if lightning_hasattr(module, name) and isinstance(lr := lightning_getattr(module, name), int | float):
            module_lr = peak if before is None or lr == before else lr * peak / before
            lightning_setattr(module, name, module_lr)
            return module_lr
    return None


def epochs_left(trainer: Trainer) -> float:
    """How often the rest of the training sees its data: at least 1; 1 if unknown."""
    steps = trainer.estimated_stepping_batches - trainer.global_step
    return max(1.0, steps / _steps_per_epoch(trainer)) if math.isfinite(steps) else 1.0


@dataclass(frozen=True)
class Schedule:
    """What a search for the peak needs to know about the rest of a schedule.

    Attributes:
        mean: the reference group's mean lr divided by its peak, within (0, 1].
        momenta: each group's momentum or betas when that lr is at its peak, where one-cycle has them low.
    """

    mean: float
    momenta: dict[Optimizer, list[dict[str, Any]]]


def read_schedule(trainer: Trainer) -> Schedule:
    """Read the schedule by stepping the schedulers, which is undone.

    If the length of the training is unknown, or the module steps them itself, the lr is assumed to stay at its peak.
    ReduceLROnPlateau is assumed not to reduce it.
    """
    steps = trainer.estimated_stepping_batches - trainer.global_step
    if not math.isfinite(steps) or steps < 1 or not trainer.lightning_module.automatic_optimization:
        return Schedule(1.0, _momenta(trainer))
    configs = [config for config in trainer.lr_scheduler_configs if not config.reduce_on_plateau]
    steps_of = {"step": 1, "epoch": _steps_per_epoch(trainer)}
    peak, group = reference_peak(trainer), trainer.optimizers[0].param_groups[-1]
    total, highest, momenta = 0.0, 0.0, {}
    with undone(trainer), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
        for step in range(1, int(steps) + 1):
            lr = float(group["lr"])
            total += lr
            if lr > highest:
                highest, momenta = lr, _momenta(trainer)
            for config in configs:
                if step % (config.frequency * steps_of[config.interval]) == 0:
                    config.scheduler.step()  # pyright: ignore[reportCallIssue]
    return Schedule(min(1.0, total / int(steps) / peak), momenta)


def _momenta(trainer: Trainer) -> dict[Optimizer, list[dict[str, Any]]]:
    return {
        optimizer: [{name: group[name] for name in MOMENTA if name in group} for group in optimizer.param_groups]
        for optimizer in trainer.optimizers
    }


def _steps_per_epoch(trainer: Trainer) -> float:
    """Infinite for a loader without a length."""
    return -(-trainer.num_training_batches // trainer.accumulate_grad_batches)


class RatesAt:
    """Sets an optimizer's groups as they are at a given peak of the schedule; all lr keep their ratio to it."""

    def __init__(self, trainer: Trainer, schedule: Schedule) -> None:
        reference = reference_peak(trainer)
        self._ratios = {o: [peak / reference for peak in peaks] for o, peaks in peak_lrs(trainer).items()}
        self._momenta = schedule.momenta
        self.peak = reference

    def __call__(self, optimizer: Optimizer) -> None:
        of_groups = zip(optimizer.param_groups, self._ratios[optimizer], self._momenta[optimizer], strict=True)
        for group, ratio, momenta in of_groups:
            group.update(momenta)
            if isinstance(group["lr"], Tensor):  # in place: a captured graph refers to this tensor
                group["lr"].fill_(self.peak * ratio)
            else:
                group["lr"] = self.peak * ratio
