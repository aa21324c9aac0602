"""Training in stages, as fine-tuning does: each has its own peak lr and its own run of the schedule."""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Trainer
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau


@dataclass(frozen=True)
class Stage:
    """A part of the training.

    Attributes:
        epochs: its length; None: the rest of the training.
        lr: its peak lr as a share of model.lr.
        lr_ratio: the first layer group's lr divided by the last's.
    """

    epochs: int | None
    lr: float
    lr_ratio: float


def stage_lengths(stages: Sequence[Stage], total_steps: int, trainer: Trainer) -> list[tuple[Stage, int]]:
    """Return the stages that the training reaches with their optimizer steps; its end shortens the last of them."""
    if not math.isfinite(trainer.num_training_batches):
        raise ValueError("stages are so many epochs long: they need a training loader that knows its length")
    steps_per_epoch = -(-int(trainer.num_training_batches) // trainer.accumulate_grad_batches)
    left, lengths = total_steps, []
    for stage in stages:
        length = left if stage.epochs is None else min(left, stage.epochs * steps_per_epoch)
        left -= length
        lengths.append((stage, length))
    return [(stage, length) for stage, length in lengths if length > 0]


class StagedLR(LRScheduler):
    """Runs a schedule from its start in each stage, at a peak of each group's own.

    The lr is a function of the step and of the groups' peaks, so a resumed training goes on exactly.

    Args:
        optimizer: its groups' lr are the peaks of which `factors` are shares.
        make_schedule: called with an optimizer and total_steps, as in schedules.py.
        lengths: optimizer steps of each stage, 1 or more.
        factors: for each stage, the share of each group's peak.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        make_schedule: Callable[[Optimizer, int], LRScheduler],
        lengths: Sequence[int],
        factors: Sequence[Sequence[float]],
    ) -> None:
        self.total_steps = sum(lengths)
        self.starts = [0, *accumulate(lengths[:-1])]
        self.factors = [list(of_groups) for of_groups in factors]
        self._tables = [_table(make_schedule, optimizer, length) for length in lengths]
        super().__init__(optimizer)

    def get_lr(self) -> list[float | Tensor]:
        stage = bisect_right(self.starts, self.last_epoch) - 1
        table, factors = self._tables[stage], self.factors[stage]
        # Lightning asks once more after the last step.
        row = table[min(self.last_epoch - self.starts[stage], len(table) - 1)]
        self._set_momentum(float(row["momentum"]))
        return [base * factor * float(row["lr"]) for base, factor in zip(self.base_lrs, factors, strict=True)]

    def _set_momentum(self, momentum: float) -> None:
        if math.isnan(momentum):  # the schedule leaves it alone
            return
        for group in self.optimizer.param_groups:
            if "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
            else:
                group["momentum"] = momentum

    def state_dict(self) -> dict[str, Any]:
        return {name: value for name, value in super().state_dict().items() if name != "_tables"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on at the step of a checkpoint; ValueError if its stages were others."""
        for name, here in (("starts", self.starts), ("factors", self.factors)):
            if (there := state_dict.get(name)) != here:
                raise ValueError(
                    f"the checkpoint's stages are others ({name}: {there} there, {here} here): resume with the same "
                    "fine-tuning callback, layer groups and batches"
                )
        super().load_state_dict(state_dict)


class _Probe(Optimizer):
    """Has the momentum of another optimizer, one group of lr 1, and does nothing."""

    def __init__(self, optimizer: Optimizer) -> None:
        momenta = {name: optimizer.defaults[name] for name in ("momentum", "betas") if name in optimizer.defaults}
        super().__init__([torch.zeros(1)], {"lr": 1.0, **momenta})

    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        pass

    def row(self) -> tuple[float, float]:
        group = self.param_groups[0]
        return float(group["lr"]), float(group["betas"][0] if "betas" in group else group.get("momentum", math.nan))


def _table(make_schedule: Callable[[Optimizer, int], LRScheduler], optimizer: Optimizer, length: int) -> np.ndarray:
    """Return a schedule's lr, as a share of the peak, and momentum, NaN where it leaves it alone, at each step."""
    probe = _Probe(optimizer)
    _, untouched = probe.row()
    schedule = make_schedule(probe, max(2, length))  # one step alone could be the last of all, at a rate of nothing
    if isinstance(schedule, ReduceLROnPlateau):
        raise ValueError("ReduceLROnPlateau cannot run in each stage anew: choose another model/scheduler")
    rows = [probe.row()]
    for _ in range(length - 1):
        probe.step()
        schedule.step()
        rows.append(probe.row())
    table = np.array(rows, dtype=[("lr", float), ("momentum", float)])
    if (table["momentum"] == untouched).all():
        table["momentum"] = math.nan
    return table
