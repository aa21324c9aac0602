"""Trains the head first, then more and more of the net: fast.ai's way of fine-tuning."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities import rank_zero_only
from torch.nn.parallel import DistributedDataParallel

from src.core.internals import NormWithStatistics
from src.core.output import note


class FineTuning(Callback):
    """Trains in stages: the last layer group and all norm layers at first, more groups or everything later.

    It calls the LightningModule's `train_groups(number)` and, if `lr` is given, `use_stages` (src/models/base.py). The
    optimizer holds all parameters from the start, which keeps resuming unaffected. DDP needs
    trainer.strategy=ddp_find_unused_parameters_true, as frozen parameters get no gradients.

    Args:
        epochs: of each stage but the last, which takes the rest of trainer.max_epochs; one number for one such stage.
        groups: how many layer groups train in each stage, counted from the head; None for all.
        lr: the peak of each stage as a share of model.lr; the schedule then runs once in each stage. None: once over
            the whole training.
        lr_ratio: the first layer group's lr divided by the last's, in each stage; None, if lr is None: model.lr_ratio.
        keep_statistics: whether batch norm uses and keeps its running statistics, as at rest, all the time: for images
            much unlike those of the pretraining, such as enlarged ones, whose own statistics spoil the features.

    Source: Howard and Ruder 2018, arXiv:1801.06146, sections 3.2 and 3.3 (discriminative rates, gradual unfreezing).
    """

    def __init__(
        self,
        *,
        epochs: int | Sequence[int],
        groups: Sequence[int | None],
        lr: Sequence[float] | None,
        lr_ratio: Sequence[float] | None,
        keep_statistics: bool,
    ) -> None:
        self.epochs = [epochs] if isinstance(epochs, int) else list(epochs)
        self.groups = list(groups)
        self.lr = None if lr is None else list(lr)
        self.lr_ratio = None if lr_ratio is None else list(lr_ratio)
        self.keep_statistics = keep_statistics
        self._check()
        self._starts = list(accumulate(self.epochs))  # of all stages but the first
        self._trained: int | None = None  # layer groups, None for all

    def _check(self) -> None:
        if any(epochs < 0 for epochs in self.epochs):
            raise ValueError(f"fine-tuning: epochs must not be negative, got {self.epochs}")
        if (self.lr is None) != (self.lr_ratio is None):
            raise ValueError(f"fine-tuning: give lr and lr_ratio both, or neither, got {self.lr=}, {self.lr_ratio=}")
        for name, values in (("groups", self.groups), ("lr", self.lr), ("lr_ratio", self.lr_ratio)):
            if values is not None and len(values) != len(self.epochs) + 1:
                raise ValueError(
                    f"fine-tuning: {name} needs a value for each of {len(self.epochs) + 1} stages, the ones of "
                    f"epochs={self.epochs} and the last, got {values}"
                )
        if any(number is not None and number < 1 for number in self.groups):
            raise ValueError(f"fine-tuning: groups must be 1 or more, or null for all, got {self.groups}")
        if any(not lr > 0 for lr in self.lr or ()) or any(not 0 < ratio <= 1 for ratio in self.lr_ratio or ()):
            raise ValueError(
                "fine-tuning: lr must be positive and lr_ratio within (0, 1] in each stage, got "
                f"{self.lr} and {self.lr_ratio}"
            )

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if not hasattr(pl_module, "train_groups"):
            raise TypeError(f"fine-tuning needs a model with train_groups(), {type(pl_module).__name__} has none")
        if stage == "fit" and self.lr is not None:
            pl_module.use_stages([*self.epochs, None], self.lr, self.lr_ratio)  # pyright: ignore[reportCallIssue]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        model = trainer.strategy.model
        freezes = any(number is not None for number in self.groups) and any(self.epochs)
        if freezes and isinstance(model, DistributedDataParallel) and not model.find_unused_parameters:
            raise ValueError("fine-tuning with DDP needs trainer.strategy=ddp_find_unused_parameters_true")
        reached = 1 + sum(start < (trainer.max_epochs or 0) for start in self._starts)
        if trainer.max_epochs not in (None, -1) and reached <= len(self._starts):
            rank_zero_only(note)(
                f"trainer.max_epochs={trainer.max_epochs} ends in stage {reached} of {len(self.groups)} of fine-tuning"
            )
        self._begin_epoch(trainer, pl_module)  # a run that resumes within an epoch gets no on_train_epoch_start

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begin_epoch(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._train(None, pl_module)

    def _begin_epoch(self, trainer: Trainer, module: LightningModule) -> None:
        self._train(self._groups_at(trainer.current_epoch), module)
        if self.keep_statistics:
            for norm in (part for part in module.modules() if isinstance(part, NormWithStatistics)):
                norm.eval()

    def _groups_at(self, epoch: int) -> int | None:
        return self.groups[sum(start <= epoch for start in self._starts)]

    def _train(self, number: int | None, model: Any) -> None:
        if number != self._trained:
            model.train_groups(number)
        self._trained = number
