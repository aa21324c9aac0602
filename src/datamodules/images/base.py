"""What all image sets share: splits, loaders, augmentation, and the facts that a net needs."""

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from src.datamodules.images.split import (
    Images,
    channel_statistics,
    class_numbers,
    draw_per_class,
    keep_classes,
    stratified_split,
)
from src.datamodules.loader import BatchLoader

rank_zero_print = rank_zero_only(print)


class ImageData(pl.LightningDataModule):
    """Base of the image sets. A subclass names its `class_names` and reads its `Images` in `read`.

    Batches are (images, labels), images uint8 or float within [0, 1], (batch, channels, height, width), channels last
    in memory. Pictures stay bytes until the net's own device has them.

    classes: keep only these, renumbered in this order; all if None.  train_per_class: train on so many rows of each
    class, drawn by `seed` after the validation rows have been set apart, which stay all; every row if None.
    """

    class_names: list[str] = []

    def __init__(
        self,
        *,
        batch_size: int,
        valid_fraction: float,
        classes: list[str | int] | None,
        train_per_class: int | None,
        drop_last: bool,
        keep_on_device: bool,
        seed: int,
        augmentation: Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]],
    ) -> None:
        super().__init__()
        if not 0 < valid_fraction < 1:
            raise ValueError(f"datamodule.valid_fraction must lie between 0 and 1, got {valid_fraction}")
        if train_per_class is not None and train_per_class < 1:
            raise ValueError(f"datamodule.train_per_class must be positive or null, got {train_per_class}")
        self.batch_size = batch_size
        self.valid_fraction = valid_fraction
        self.classes = None if classes is None else [str(name) for name in classes]
        self.train_per_class = train_per_class
        self.drop_last = drop_last
        self.keep_on_device = keep_on_device
        self.seed = seed
        self.augmentation = augmentation
        self.train_size: int | None = None  # pixels; progressive resizing sets it
        self.splits: dict[str, Images] = {}
        if self.classes is not None and self.class_names:
            class_numbers(self.classes, self.class_names)

    def read(self) -> dict[str, Images]:
        """The splits `train` and, where the set has them, `valid` and `test`; sets `class_names` if they are data."""
        raise NotImplementedError

    def setup(self, stage: str) -> None:
        if self.splits:
            return
        splits = self.read()
        if self.classes is not None:
            splits = {name: keep_classes(split, self.classes, self.class_names) for name, split in splits.items()}
            self.class_names = self.classes
        self._check_rows(splits)
        if "valid" not in splits:
            train, valid = stratified_split(splits["train"].own_labels.numpy(), self.valid_fraction, self.seed)
            splits |= {"train": splits["train"].take(train), "valid": splits["train"].take(valid)}
        if self.train_per_class is not None:
            drawn = draw_per_class(splits["train"].own_labels.numpy(), self.train_per_class, self.seed)
            splits["train"] = splits["train"].take(drawn)
        if "test" not in splits:
            splits["test"] = splits["valid"]
            rank_zero_print("there is no test split: the test scores will be those of the validation pictures")
        self._mean, self._std = channel_statistics(splits["train"])
        self.splits = splits

    def _check_rows(self, splits: dict[str, Images]) -> None:
        least = 1 if "valid" in splits else 2  # one to train on, one to hold out
        counts = torch.bincount(splits["train"].own_labels, minlength=len(self.class_names)).tolist()
        short = [f"{name} ({count})" for name, count in zip(self.class_names, counts, strict=True) if count < least]
        if len(counts) < 2 or short:
            raise ValueError(
                f"training needs two classes and {least} pictures of each, got {', '.join(short) or self.class_names}"
            )

    @property
    def spec(self) -> dict[str, Any]:
        """Facts for the net and for prediction: plain numbers, lists and strings; valid after `setup`."""
        _, height, width, channels = self.splits["train"].images.shape
        return {
            "in_chans": channels,
            "num_classes": len(self.class_names),
            "image_size": [height, width],
            "class_names": list(self.class_names),
            "mean": self._mean,
            "std": self._std,
        }

    def train_dataloader(self) -> BatchLoader:
        return self._loader("train", shuffle=True, drop_last=self.drop_last)

    def val_dataloader(self) -> BatchLoader:
        return self._loader("valid")

    def test_dataloader(self) -> BatchLoader:
        return self._loader("test")

    def _loader(self, split: str, shuffle: bool = False, drop_last: bool = False) -> BatchLoader:
        trainer = self.trainer
        data = self.splits[split]
        if self.keep_on_device and trainer is not None:
            data = self.splits[split] = data.to(trainer.strategy.root_device)
        return BatchLoader(
            data.images,
            data.labels,
            batch_size=self.batch_size,
            rows=data.rows,
            shuffle=shuffle,
            seed=self.seed,
            drop_last=drop_last,
            rank=trainer.global_rank if trainer is not None else 0,
            world_size=trainer.world_size if trainer is not None else 1,
        )

    def on_after_batch_transfer(self, batch: tuple[Tensor, Tensor], dataloader_idx: int) -> tuple[Tensor, Tensor]:
        images, labels = batch
        if self.trainer is None or not self.trainer.training:
            return images.permute(0, 3, 1, 2), labels
        images, labels = self.augmentation(images, labels, len(self.class_names))
        if self.train_size is not None and self.train_size != images.shape[-1]:
            images = resize(images, self.train_size)
        return images, labels


def resize(images: Tensor, size: int) -> Tensor:
    """Scale a batch (batch, channels, height, width) to squares of `size` pixels; uint8 becomes float in [0, 1]."""
    images = images if images.is_floating_point() else images.float() / 255
    return F.interpolate(images, (size, size), mode="bilinear", antialias=True).clamp(0, 1)
