"""What the data of all domains share: the spec for the net, when data are read, and how loaders are made."""

from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from src.core.output import show
from src.core.ranks import share
from src.datamodules.folds import check_fold
from src.datamodules.held_out import check_same_rows
from src.datamodules.loader import BatchLoader

STEPS, SMALLEST = 10, 8  # of an epoch, at least; of the batches that are chosen


def fitting_batch_size(rows: int, largest: int, smallest: int = SMALLEST) -> int:
    """Return the largest power of two that divides some rows into STEPS batches or more, within bounds."""
    power = 2 ** max(0, (rows // STEPS).bit_length() - 1)
    return max(1, min(rows, max(smallest, min(power, largest))))


class DataModule(pl.LightningDataModule):
    """Base of all data. A subclass reads them in `load` and makes the loader of a split in `loader`.

    What is derived from files is written to the cache in `prepare_data`, which one process of a node runs, and only
    read in `load`, which every process runs.

    A checkpoint keeps `seed` and `held_out`. A run that scores it is given that seed (src/training/run.py), and is
    refused if its rows would be others.

    Attributes:
        held_out: the record of each split that `load` takes from the training rows, see `drawn`.
        seed: of all that is drawn.
        fold: of `num_folds`, the one whose rows are the test split, see src/datamodules/folds.py. None: there are no
            folds, and the subclass says what is tested.
    """

    def __init__(self, seed: int = 0, fold: int | None = None, num_folds: int = 5) -> None:
        super().__init__()
        check_fold(fold, num_folds)
        self.fold = fold
        self.num_folds = num_folds
        self._spec: dict[str, Any] = {}
        self.held_out: dict[str, Any] = {}
        self.seed = seed

    @property
    def spec(self) -> dict[str, Any]:
        """What the data tell the net and later predictions: plain numbers, lists and strings; valid after `setup`."""
        return self._spec

    def load(self) -> dict[str, Any]:
        """Read the splits `train`, `valid` and `test`, and return the spec."""
        raise NotImplementedError

    # By name, a digest of each part of what `load` has read. A training is not resumed on other data.
    contents: dict[str, str] = {}

    def loader(self, split: str) -> Any:
        """Make a new loader of a split."""
        raise NotImplementedError

    def setup(self, stage: str) -> None:
        if not self._spec:
            self._spec = self.load()

    def tested_rows(self) -> dict[str, Sequence[Any]]:
        """Return what names the rows of the test split, by the heads of columns; valid after `setup`.

        Images have names only with a fold.
        """
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        return {"seed": self.seed, "held_out": self.held_out}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if "held_out" in state_dict:  # older checkpoints lack it
            scored = {"test": ["test"], "validate": ["valid"]}
            task = self.trainer.state.fn if self.trainer is not None else None
            check_same_rows(state_dict["held_out"], self.held_out, scored.get(str(task), ["valid", "test"]))

    def train_dataloader(self) -> Any:
        loader = self.loader("train")
        if self.trainer is not None and getattr(self.trainer, "reload_dataloaders_every_n_epochs", 0):
            loader.epoch = self.trainer.current_epoch - 1  # which it has yet to begin
        return loader

    def val_dataloader(self) -> Any:
        return self.loader("valid")

    def test_dataloader(self) -> Any:
        return self.loader("test")

    def ranks(self) -> dict[str, int]:
        """The arguments of a loader that say which part of each step this process reads."""
        trainer = self.trainer
        if trainer is None:
            return {"rank": 0, "world_size": 1}
        return {"rank": trainer.global_rank, "world_size": trainer.world_size}


class RowData(DataModule):
    """Base of the data that consist of rows. A subclass hands its splits to `use_splits` in `load`.

    Args:
        batch_size: rows of a batch, per device. None: `largest_batch`, or fewer, so that an epoch has ten steps or
            more, but not below 8; it depends on the number of training rows alone, and `load` sets it. So it does if
            the size is larger than the number of training rows.
        global_batch_size: rows of all devices' batches together, in place of batch_size. Any number of devices that
            divides it takes the same rows in each step.
        drop_last: leave out a last training batch that is not full.
        keep_on_device: keep the whole set on the device.
        seed: of the order of the training rows, and of what else is drawn.
        fold: number of the fold to test on; see DataModule. None: none.
        num_folds: how many there are.
    """

    largest_batch: int

    def __init__(
        self,
        *,
        batch_size: int | None,
        global_batch_size: int | None = None,
        drop_last: bool,
        keep_on_device: bool,
        seed: int,
        fold: int | None = None,
        num_folds: int = 5,
    ) -> None:
        super().__init__(seed, fold, num_folds)
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"datamodule.batch_size must be positive or null, got {batch_size}")
        self.batch_size = batch_size
        self.global_batch_size = global_batch_size
        self.drop_last = drop_last
        self.keep_on_device = keep_on_device
        self.splits: dict[str, Any] = {}  # of objects with `tensors`, `rows` and `to(device)`

    def use_splits(self, splits: dict[str, Any]) -> None:
        """Take these splits; without a test split, the validation rows are scored as test too."""
        if "test" not in splits:
            rank_zero_only(show)("there is no test split: the test scores are those of the validation rows")
            self.held_out |= {"test": self.held_out["valid"]} if "valid" in self.held_out else {}
        self.splits = {"test": splits["valid"], **splits}
        self._fit_batch_size(splits["train"])

    def _fit_batch_size(self, train: Any) -> None:
        """Choose a size where none is given, or where the training rows do not fill one batch of it."""
        rows, given = len(train.tensors[0] if train.rows is None else train.rows), self.batch_size
        if given is not None and (given <= rows or not self.drop_last or self.global_batch_size is not None):
            return
        self.batch_size = fitting_batch_size(rows, given or self.largest_batch)
        if self.batch_size < (given or self.largest_batch) and self.global_batch_size is None:
            instead = "" if given is None else f", in place of {given}"
            rank_zero_only(show)(f"batches of {self.batch_size}, to fit {rows:,} training rows{instead}")

    def sampling_groups(self) -> Tensor | None:
        """Groups of the training rows that are drawn equally often, int64 (rows,); None: each row is drawn once."""
        return None

    def loader(self, split: str) -> BatchLoader:
        is_train = split == "train"
        is_overfit = getattr(self.trainer, "overfit_batches", 0) > 0
        if self.keep_on_device and self.trainer is not None:
            self.splits[split] = self.splits[split].to(self.trainer.strategy.root_device)
        data, ranks = self.splits[split], self.ranks()
        assert self.batch_size is not None  # since `use_splits`
        return BatchLoader(
            *data.tensors,
            rows=data.rows,
            batch_size=share(self.batch_size, self.global_batch_size, ranks["world_size"]),
            shuffle=is_train and not is_overfit,  # an overfit run sees the same batches in each epoch
            groups=self.sampling_groups() if is_train else None,
            seed=self.seed,
            drop_last=is_train and self.drop_last,
            same_steps=self.global_batch_size is not None,
            **ranks,
        )
