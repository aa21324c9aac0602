"""How long to train where nobody has said it."""

import math

import pytorch_lightning as pl
from pytorch_lightning.utilities import rank_zero_only

from src.core.output import show

EPOCHS, MOST_EPOCHS, STEPS = 16, 256, 1200  # see docs/experiments.md, 2026-12-01: a recipe for tables


def fitting_epochs(steps: int) -> int:
    """Return EPOCHS or, where an epoch has few steps, as many as make STEPS of them, up to MOST_EPOCHS."""
    return max(EPOCHS, min(MOST_EPOCHS, math.ceil(STEPS / steps)))


class FittingEpochs(pl.Callback):
    """Chooses trainer.max_epochs by the steps of an epoch, before a schedule asks for the training's length."""

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        trainer.fit_loop.max_epochs = EPOCHS  # Lightning compares an epoch with log_every_n_steps, which depends on it
        trainer.fit_loop.setup_data()
        batches = trainer.num_training_batches
        if not math.isfinite(batches):
            raise ValueError("the training data do not tell their length: set trainer.max_epochs or trainer.max_steps")
        steps = max(1, math.ceil(batches / trainer.accumulate_grad_batches))
        trainer.fit_loop.max_epochs = fitting_epochs(steps)
        told = f"{trainer.fit_loop.max_epochs} epochs of {steps:,} steps, to fit the training rows"
        rank_zero_only(show)(told)
