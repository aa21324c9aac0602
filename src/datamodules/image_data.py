"""What all image sets share: splits, loaders, augmentation, and the facts that a net needs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor

from src.datamodules.loader import BatchLoader


@dataclass
class Images:
    """One split. images: uint8 (rows, height, width, channels).  labels: int64 (rows,)."""

    images: Tensor
    labels: Tensor

    def take(self, rows: np.ndarray) -> "Images":
        """The given rows, copied."""
        index = torch.from_numpy(rows)
        return Images(self.images[index], self.labels[index])


class ImageData(pl.LightningDataModule):
    """Base of the image sets. A subclass names its `class_names` and reads its `Images` in `read`.

    Batches are (images, labels), images uint8 or float within [0, 1], (batch, channels, height, width), channels last
    in memory. Pictures stay bytes until the net's own device has them.
    """

    class_names: list[str]

    def __init__(
        self,
        *,
        batch_size: int,
        valid_fraction: float,
        drop_last: bool,
        keep_on_device: bool,
        seed: int,
        augmentation: Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]],
    ) -> None:
        super().__init__()
        if not 0 < valid_fraction < 1:
            raise ValueError(f"datamodule.valid_fraction must lie between 0 and 1, got {valid_fraction}")
        self.batch_size = batch_size
        self.valid_fraction = valid_fraction
        self.drop_last = drop_last
        self.keep_on_device = keep_on_device
        self.seed = seed
        self.augmentation = augmentation
        self.train_size: int | None = None  # pixels; progressive resizing sets it
        self.splits: dict[str, Images] = {}

    def read(self) -> dict[str, Images]:
        """The splits `train` and `test`, and `valid` where the set has one."""
        raise NotImplementedError

    def setup(self, stage: str) -> None:
        if self.splits:
            return
        self.splits = self.read()
        if "valid" not in self.splits:
            whole = self.splits["train"]
            train, valid = stratified_split(whole.labels.numpy(), self.valid_fraction, self.seed)
            self.splits |= {"train": whole.take(train), "valid": whole.take(valid)}
        self._mean, self._std = channel_statistics(self.splits["train"].images)

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
            device = trainer.strategy.root_device
            data = self.splits[split] = Images(data.images.to(device), data.labels.to(device))
        return BatchLoader(
            data.images,
            data.labels,
            batch_size=self.batch_size,
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


def stratified_split(labels: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to keep and rows to hold out, each class in proportion; both sorted, the same for the same seed.

    Raises ValueError if a class has fewer than two rows or the share is too small to hold out one row of each.
    """
    from sklearn.model_selection import train_test_split  # takes a second to import

    classes, counts = np.unique(labels, return_counts=True)
    held_out = round(len(labels) * fraction)
    if counts.min() < 2 or not len(classes) <= held_out <= len(labels) - len(classes):
        raise ValueError(
            f"a stratified split needs 2 rows of each class and a row of each on both sides, got {len(labels)} rows, "
            f"{len(classes)} classes, {counts.min()} rows in the smallest, fraction {fraction}; add a valid split"
        )
    keep, hold = train_test_split(np.arange(len(labels)), test_size=held_out, random_state=seed, stratify=labels)
    return np.sort(keep), np.sort(hold)


def channel_statistics(images: Tensor, max_rows: int = 5000) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel on the scale [0, 1], over evenly spaced rows.

    images: uint8 (rows, height, width, channels). A channel without variation gets the deviation 1.
    """
    step = -(-len(images) // max_rows)
    pixels = images[::step].flatten(0, 2).double() / 255
    std, mean = torch.std_mean(pixels, dim=0, correction=0)
    std = torch.where(std > 0, std, torch.ones_like(std))
    return [round(m, 6) for m in mean.tolist()], [round(s, 6) for s in std.tolist()]
