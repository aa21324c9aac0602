"""Trains on small pictures first: fast.ai's progressive resizing."""

from itertools import pairwise

import pytorch_lightning as pl


class ProgressiveResizing(pl.Callback):
    """Sets `datamodule.train_size`, the side of the training pictures in pixels, by epoch.

    sizes: pairs of a first epoch and the size from then on; None: the pictures' own. Validation and test keep theirs.
    A list of pairs and not a map: Hydra merges a map into the one it overrides, and the old epochs would stay.
    """

    def __init__(self, *, sizes: list[tuple[int, int | None]]) -> None:
        """Raises ValueError if the epochs do not begin with 0 and increase, or if a size is below 1."""
        epochs = [epoch for epoch, _ in sizes]
        if epochs[:1] != [0] or any(later <= earlier for earlier, later in pairwise(epochs)):
            raise ValueError(f"progressive_resizing.sizes must begin with epoch 0 and increase, got epochs {epochs}")
        if any(size is not None and size < 1 for _, size in sizes):
            raise ValueError(f"progressive_resizing.sizes must be 1 pixel or more, got {[size for _, size in sizes]}")
        self.sizes = sizes

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        datamodule = getattr(trainer, "datamodule", None)
        if not hasattr(datamodule, "train_size"):
            raise TypeError(
                "progressive_resizing needs a datamodule of pictures, with train_size; "
                f"{type(datamodule).__name__} has none"
            )

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # A run that is resumed within an epoch gets no on_train_epoch_start.
        self._set_size(trainer)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._set_size(trainer)

    def _set_size(self, trainer: pl.Trainer) -> None:
        size = [size for epoch, size in self.sizes if epoch <= trainer.current_epoch][-1]
        trainer.datamodule.train_size = size  # pyright: ignore[reportAttributeAccessIssue]
