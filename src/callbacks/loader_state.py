"""Saves the training loader's position with each checkpoint; a resumed run continues with the very next batch.

It also saves what the data consist of, and refuses to go on with other data.
"""

from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer


class LoaderState(Callback):
    """Keeps the training loader's state_dict in the checkpoint and restores it before the first step.

    Lightning 2.6 also saves that state, but restores it only into a loader made after the checkpoint was loaded. Ours
    is made earlier, because configure_optimizers counts the training's steps with it.
    """

    def __init__(self) -> None:
        self._loaded: dict[str, Any] | None = None

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if hasattr(trainer.train_dataloader, "state_dict"):
            state = trainer.train_dataloader.state_dict()  # pyright: ignore
            # limit_train_batches can end an epoch early, and the loader does not know about it.
            if "num_batches" in state:
                state["num_batches"] = min(state["num_batches"], trainer.num_training_batches)
            checkpoint["train_loader"] = state

        checkpoint["data"] = dict(getattr(trainer.datamodule, "contents", {}))  # pyright: ignore[reportAttributeAccessIssue]

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        if trainer.state.fn == "fit":
            _check_same(checkpoint.get("data", {}), getattr(trainer.datamodule, "contents", {}))  # pyright: ignore[reportAttributeAccessIssue]
        self._loaded = checkpoint.get("train_loader")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._loaded is not None:
            trainer.train_dataloader.load_state_dict(self._loaded)  # pyright: ignore
            self._loaded = None


def _check_same(saved: dict[str, str], here: dict[str, str]) -> None:
    if saved and here and saved != here:  # older checkpoints and data of other classes lack it
        changed = sorted(name for name in {**saved, **here} if saved.get(name) != here.get(name))
        raise ValueError(
            f"the data have changed since the checkpoint was saved ({', '.join(changed)}): give the data of then, or "
            "start anew in another run_dir"
        )
