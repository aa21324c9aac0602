"""Saves with each checkpoint how far the training loader has come: a resumed run goes on with the very next batch."""

from typing import Any

import pytorch_lightning as pl


class LoaderState(pl.Callback):
    """Keeps the training loader's state_dict in the checkpoint, and gives it back before the first step.

    Lightning 2.6 saves that state, too, but hands it only to a loader made after the checkpoint was loaded. Ours is
    made before: configure_optimizers counts the steps of the whole training with it.
    """

    def __init__(self) -> None:
        self._loaded: dict[str, Any] | None = None

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if hasattr(trainer.train_dataloader, "state_dict"):
            state = trainer.train_dataloader.state_dict()  # pyright: ignore
            # The loader does not know of limit_train_batches, which ends an epoch, too.
            if "num_batches" in state:
                state["num_batches"] = min(state["num_batches"], trainer.num_training_batches)
            checkpoint["train_loader"] = state

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self._loaded = checkpoint.get("train_loader")

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._loaded is not None:
            trainer.train_dataloader.load_state_dict(self._loaded)  # pyright: ignore
            self._loaded = None
