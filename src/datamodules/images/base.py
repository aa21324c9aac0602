"""What all image sets share: the choice of rows, augmentation, and the spec for the net."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from src.core.errors import named
from src.core.output import note, show
from src.datamodules.base import RowData
from src.datamodules.cache import digest
from src.datamodules.folds import deal, fold_rule
from src.datamodules.held_out import drawn, text_bytes
from src.datamodules.images.files import Resize
from src.datamodules.images.scaling import scale
from src.datamodules.images.split import (
    ImageSplit,
    Task,
    channel_statistics,
    check_labels,
    chosen_classes,
    draw_per_class,
    keep_classes,
    keep_columns,
)
from src.datamodules.images.targets import balanced_groups, check_y_range, target_statistics, tell_absent
from src.datamodules.stratified import stratified_split


class ImageData(RowData):
    """Base of the image sets. A subclass names its `class_names` and reads its splits in `read`.

    Batches are (images, labels). The images are uint8, or float within [0, 1], (batch, channels, height, width), with
    channels last in memory. They stay bytes until they are on the net's device.

    The spec has `in_chans`, `num_classes`, `image_size` (height, width), `class_names`, and `mean` and `std` of each
    channel; for one class an image, `class_counts` of the training images. If the task is not classification, it also
    has `task`; for regression, the targets are the "classes", and there are `target_mean`, `target_std` and, if it is
    given, `y_range`. If the images are larger than the net sees them, it also has `cache_size`, their side; if they
    became squares in another way than by a crop, `resize`. predict.py reads files by these.

    Args:
        valid_fraction: share of the training rows to validate on, if the set has no validation split.
        classes: keep only these, renumbered in this order; None means all.
        train_per_class: train on this many rows of each class, drawn by `seed`; None means all. The validation rows
            are taken first, and all of them stay.
        weighted_sampling: train on each class equally often: an epoch has as many images as without, those of small
            classes several times, of large ones not all.
        augmentation: changes a training batch: (images, labels, number of classes, size that the net is to see)
            -> (images, labels). Images of another size are scaled afterwards.
        **row_data: arguments of RowData.
    """

    task: Task = "classification"  # it says what the labels are, see ImageSplit
    y_range: Sequence[float] | None = None  # of regression: between what values the answers lie; None for no bounds
    class_names: list[str] = []
    largest_batch = 128
    row_names: list[str] = []  # of all splits' rows, if they are files
    image_size: int | None = None  # side in pixels of what the net sees; None: of the images as they are
    resize: Resize = "crop"  # how files became squares

    def __init__(
        self,
        *,
        valid_fraction: float,
        classes: list[str | int] | None,
        train_per_class: int | None,
        weighted_sampling: bool,
        augmentation: Callable[[Tensor, Tensor, int, tuple[int, int], int], tuple[Tensor, Tensor]],
        **row_data: Any,
    ) -> None:
        super().__init__(**row_data)
        if not 0 < valid_fraction < 1:
            raise ValueError(f"datamodule.valid_fraction must be between 0 and 1, got {valid_fraction}")
        if train_per_class is not None and train_per_class < 1:
            raise ValueError(f"datamodule.train_per_class must be positive or null, got {train_per_class}")
        if self.task != "classification" and train_per_class is not None:
            raise ValueError(f"datamodule.train_per_class is for task=classification, got it with task={self.task}")
        if self.task != "classification" and weighted_sampling:
            raise ValueError(f"datamodule.weighted_sampling is for task=classification, got it with task={self.task}")
        if self.task == "regression" and classes is not None:
            raise ValueError("datamodule.classes chooses classes, and task=regression has none: leave it null")
        if self.task == "regression" and getattr(augmentation, "mixes", False):
            raise ValueError(
                "augmentation.mixup and cutmix blend labels, and a blend of two images has no true number: set both to "
                "0 for task=regression"
            )
        check_y_range(self.y_range, self.task)
        self.valid_fraction = valid_fraction
        self.classes = classes
        self.train_per_class = train_per_class
        self.weighted_sampling = weighted_sampling
        self.augmentation = augmentation
        self.train_size: int | None = None  # pixels; progressive resizing sets it
        if self.classes is not None and self.class_names:
            chosen_classes(self.classes, self.class_names)

    def read(self) -> dict[str, ImageSplit]:
        """Return the splits `train` and, if the set has them, `valid` and `test`; set `class_names` if files say them.

        What has to be fetched or decoded first is the work of `prepare_data`.
        """
        raise NotImplementedError

    def pixel_contents(self, splits: dict[str, ImageSplit]) -> dict[str, str]:
        """Return digests of the images, see `contents`."""
        return {f"images of {name}": digest(split.images.numpy()) for name, split in splits.items()}

    def load(self) -> dict[str, Any]:
        splits = self.read()
        self.contents = self.pixel_contents(splits)
        if self.classes is not None:
            keep = keep_classes if self.task == "classification" else keep_columns
            chosen = chosen_classes(self.classes, self.class_names)
            splits = {name: keep(split, chosen, self.class_names) for name, split in splits.items()}
            self.class_names = chosen
        if self.fold is not None and splits.pop("test", None) is not None:
            rank_zero_only(show)("the test images are left out, datamodule.fold tests on training images")
        self._check_rows(splits)
        if self.fold is not None:
            splits |= self._take_fold(splits["train"])
        if "valid" not in splits:
            splits |= self._hold_out(splits["train"])
        if self.train_per_class is not None:
            chosen = draw_per_class(splits["train"].own_labels.numpy(), self.train_per_class, self.seed)
            splits["train"] = splits["train"].take(chosen)
        if self.task == "multilabel":
            tell_absent(splits, self.class_names)
        self.contents |= {name: digest(split.rows.numpy(), split.own_labels.numpy()) for name, split in splits.items()}
        self.use_splits(splits)
        if self.weighted_sampling:
            share = len(splits["train"]) / len(self.class_names)
            rank_zero_only(show)(f"an epoch has {share:,.0f} images of each class (datamodule.weighted_sampling)")
        return self._spec_of(splits["train"])

    def sampling_groups(self) -> Tensor | None:
        return self.splits["train"].own_labels.cpu() if self.weighted_sampling else None

    def _take_fold(self, rows: ImageSplit) -> dict[str, ImageSplit]:
        """Divide the training rows into those to train and those to test on."""
        folds = deal(balanced_groups(rows.own_labels, self.task), self.num_folds, self.seed)
        train, test = rows.take(np.flatnonzero(folds != self.fold)), rows.take(np.flatnonzero(folds == self.fold))
        rule = {**fold_rule(self.fold, self.num_folds), "seed": self.seed}
        self.held_out["test"] = drawn(rule, train.rows.numpy(), test.rows.numpy(), text_bytes(self.row_names))
        self._tested = test.rows.tolist()
        rank_zero_only(show)(f"fold {self.fold} of {self.num_folds} tests on {len(test):,} images")
        return {"train": train, "test": test}

    def tested_rows(self) -> dict[str, Sequence[Any]]:
        names = {"path": [self.row_names[row] for row in self._tested]} if self.row_names else {}
        return {"row": [row + 1 for row in self._tested], **names}

    def _hold_out(self, rows: ImageSplit) -> dict[str, ImageSplit]:
        """Divide the training rows into those to train and those to validate on."""
        groups = balanced_groups(rows.own_labels, self.task)
        kept, held_out = stratified_split(groups, self.valid_fraction, self.seed)
        train, valid = rows.take(kept), rows.take(held_out)
        rule = {
            **self.held_out.get("test", {}).get("rule", {}),
            "valid_fraction": self.valid_fraction,
            "seed": self.seed,
        }
        self.held_out["valid"] = drawn(rule, train.rows.numpy(), valid.rows.numpy(), text_bytes(self.row_names))
        return {"train": train, "valid": valid}

    def _check_rows(self, splits: dict[str, ImageSplit]) -> None:
        for name, split in splits.items():
            if not len(split):
                raise ValueError(f"the {name} split holds no image that can be read")
            check_labels(split.own_labels, self.task, len(self.class_names), name)
        min_count = 1 + ("valid" not in splits) + (self.fold is not None)  # one to train on, the others to hold out
        labels = splits["train"].own_labels
        if self.task != "classification":
            if len(labels) < min_count:
                raise ValueError(f"training needs {min_count} images or more, got {len(labels)}")
            return
        counts = _counts(splits["train"], self.class_names)
        short = [f"{name} ({count})" for name, count in zip(self.class_names, counts, strict=True) if count < min_count]
        if len(counts) < 2 or short:
            raise ValueError(
                f"training needs two classes and {min_count} images of each, got {', '.join(short) or self.class_names}"
            )
        for name in ("valid", "test"):
            present = set(splits[name].own_labels.tolist()) if name in splits else range(len(counts))
            lacking = [each for number, each in enumerate(self.class_names) if number not in present]
            if lacking:
                rank_zero_only(note)(f"{name} has no image of {named(lacking)}: nothing is measured there")

    def _spec_of(self, train: ImageSplit) -> dict[str, Any]:
        _, height, width, channels = train.images.shape
        mean, std = channel_statistics(train)
        is_class, is_number = self.task == "classification", self.task == "regression"
        size = (height, width) if self.image_size is None else (self.image_size, self.image_size)
        return {
            "in_chans": channels,
            "num_classes": len(self.class_names),
            "image_size": list(size),
            "class_names": list(self.class_names),
            "mean": mean,
            "std": std,
            # Checkpoints from before there was a choice lack the task, so those of classifiers always do.
            **({} if is_class else {"task": self.task}),
            **({"class_counts": _counts(train, self.class_names)} if is_class else {}),
            **(target_statistics(train.own_labels, self.class_names, self.y_range) if is_number else {}),
            **({"cache_size": height} if size != (height, width) else {}),
            **({"resize": self.resize} if self.resize != "crop" else {}),
        }

    def on_after_batch_transfer(self, batch: tuple[Tensor, Tensor], dataloader_idx: int) -> tuple[Tensor, Tensor]:
        images, labels = batch
        side = self.image_size
        if self.trainer is not None and self.trainer.training:
            side = self.train_size or side
            size = (images.shape[1], images.shape[2]) if side is None else (side, side)
            epoch = self.trainer.current_epoch
            images, labels = self.augmentation(images, labels, len(self.class_names), size, epoch)
        else:
            images = images.permute(0, 3, 1, 2)
        return images if side is None else scale(images, (side, side)), labels


def _counts(split: ImageSplit, class_names: list[str]) -> list[int]:
    """How many images of each class a split has."""
    return torch.bincount(split.own_labels, minlength=len(class_names)).tolist()
