"""Trains on small images first: fast.ai's progressive resizing."""

from itertools import pairwise

from pytorch_lightning import Callback, LightningModule, Trainer


class ProgressiveResizing(Callback):
    """Sets `datamodule.train_size`, the side of the training images in pixels, by epoch.

    Validation and test images keep their size.

    Args:
        sizes: pairs of a first epoch and the size from then on; None means the images' own size. Pairs, not a map:
            Hydra would merge an override into the map and keep the old epochs.
    """

    def __init__(self, *, sizes: list[tuple[int, int | None]]) -> None:
        epochs = [epoch for epoch, _ in sizes]
        if epochs[:1] != [0] or any(later <= earlier for earlier, later in pairwise(epochs)):
            raise ValueError(f"progressive_resizing.sizes must begin with epoch 0 and increase, got epochs {epochs}")
        if any(size is not None and size < 1 for _, size in sizes):
            raise ValueError(f"progressive_resizing.sizes must be 1 pixel or more, got {[size for _, size in sizes]}")
        self.sizes = sizes

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        datamodule = getattr(trainer, "datamodule", None)
        if not hasattr(datamodule, "train_size"):
            raise TypeError(
                f"progressive_resizing needs an image datamodule with train_size; {type(datamodule).__name__} has none"
            )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # A run that resumes within an epoch gets no on_train_epoch_start.
        self._set_size(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._set_size(trainer)

    def _set_size(self, trainer: Trainer) -> None:
        size = [size for epoch, size in self.sizes if epoch <= trainer.current_epoch][-1]
        trainer.datamodule.train_size = size  # pyright: ignore[reportAttributeAccessIssue]
