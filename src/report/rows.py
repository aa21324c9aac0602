"""The rows that a report looks at: a whole split, as the model gets it in evaluation."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.model_helpers import is_overridden
from torch import Tensor


def rows_of(datamodule: pl.LightningDataModule) -> Iterator[Any]:
    """Yield the batches of the test split, or of the validation split if there is no test split.

    They hold all rows, on every rank, as evaluation gets them: on the trainer's device (the CPU without a trainer),
    after on_after_batch_transfer. The datamodule must be set up.
    """
    trainer = datamodule.trainer
    device = trainer.strategy.root_device if trainer is not None else torch.device("cpu")
    with without_trainer(datamodule):
        loader = getattr(datamodule, f"{split_of(datamodule)}_dataloader")()
    for batch in loader:
        with without_trainer(datamodule):
            batch = datamodule.on_before_batch_transfer(batch, 0)
            batch = datamodule.transfer_batch_to_device(batch, device, 0)
            batch = datamodule.on_after_batch_transfer(batch, 0)
        yield batch


def spread_rows(datamodule: pl.LightningDataModule, max_rows: int) -> tuple[Iterator[list[Tensor]], range]:
    """At most max_rows rows of the report's split, evenly spread.

    Returns:
        Their batches, and their places in the split, as range(0, number of all rows, step).
    """
    total = sum(len(batch[-1]) for batch in rows_of(datamodule))
    places = range(0, total, -(-total // max_rows))
    return _every(places.step, rows_of(datamodule)), places


def _every(step: int, batches: Iterator[Any]) -> Iterator[list[Tensor]]:
    start = 0
    for batch in batches:
        chosen = slice(-start % step, None, step)
        start += len(batch[-1])
        if len(batch[-1][chosen]):
            yield [tensor[chosen] for tensor in batch]


def split_of(datamodule: pl.LightningDataModule) -> str:
    """`test` if the datamodule has a test split, else `val`."""
    return "test" if is_overridden("test_dataloader", datamodule) else "val"


def rows_note(datamodule: pl.LightningDataModule, count: int, total: int, unit: str, how: str = "evenly spread") -> str:
    """`All 20 images of the test split`, or `5 of 20 images of the test split, evenly spread`."""
    split = {"test": "test", "val": "validation"}[split_of(datamodule)]
    if count == total:
        return f"All {total:,} {unit} of the {split} split"
    return f"{count:,} of {total:,} {unit} of the {split} split, {how}"


@contextmanager
def without_trainer(datamodule: pl.LightningDataModule) -> Iterator[None]:
    """Detach the trainer: the datamodule then gives all rows, not this rank's, and does not augment them."""
    trainer, datamodule.trainer = datamodule.trainer, None
    try:
        yield
    finally:
        datamodule.trainer = trainer
