"""Averages the weights once the validation loss stops falling."""

import math
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from torch import Tensor

from src.callbacks.averaging import Averaging
from src.core.internals import blend_
from src.core.output import show


class NTASGD(Averaging):
    """Non-monotonically triggered averaging: the mean of the weights after each step since the trigger.

    The trigger is a validation whose score is above the best of all earlier ones except the last `patience`. From the
    next step on, the mean is validated, saved, and left in the model after fit; training continues from the raw
    weights. Before the trigger the callback only holds a copy of the model.

    Args:
        monitor: the logged score, lower is better.
        patience: the number of validations that may be worse, at least 1.

    Source: Merity et al. 2017, arXiv:1708.02182, section 3, algorithm 1, where patience is n.
    """

    def __init__(self, *, monitor: str, patience: int) -> None:
        if patience < 1:
            raise ValueError(f"nt_asgd.patience must be 1 or more, got {patience}")
        super().__init__(decay=0.0)  # unused: see _blend
        self.monitor = monitor
        self.patience = patience
        self._losses: list[float] = []  # up to the trigger
        self._is_triggered = False

    def _blend(self, averages: Any, currents: Any, num_averaged: Tensor | int) -> None:
        """Move the means towards the current values."""
        assert self._average_model is not None
        blend_(averages, currents, 1 / (1 + int(self._average_model.n_averaged)))

    @property
    def is_averaging(self) -> bool:
        """Whether there is a mean of at least one step."""
        return self._average_model is not None and int(self._average_model.n_averaged) > 0

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        return self._is_triggered and step_idx is not None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.state.fn != "fit" or trainer.sanity_checking or self._is_triggered:
            return
        if self.monitor not in trainer.callback_metrics:
            raise ValueError(
                f"nt_asgd.monitor must be a logged score, got {self.monitor}; "
                f"there are {', '.join(sorted(trainer.callback_metrics)) or 'none'}"
            )
        loss = trainer.callback_metrics[self.monitor].item()
        self._is_triggered = self._is_stuck(loss)
        self._losses.append(loss)
        if self._is_triggered and trainer.is_global_zero:
            show(f"nt-asgd: {self.monitor} stopped falling, averaging from step {trainer.global_step + 1} on")

    def _is_stuck(self, loss: float) -> bool:
        earlier = [value for value in self._losses[: -self.patience] if not math.isnan(value)]
        return bool(earlier) and not loss <= min(earlier)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.ckpt_path:  # a second fit starts again
            self._losses, self._is_triggered = [], False
        super().on_fit_start(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        return {"losses": list(self._losses), "is_triggered": self._is_triggered}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._losses, self._is_triggered = list(state_dict["losses"]), state_dict["is_triggered"]
