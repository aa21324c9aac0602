"""The rows that a report looks at: a whole split, as the model gets it in evaluation."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.model_helpers import is_overridden


def rows_of(datamodule: pl.LightningDataModule) -> Iterator[Any]:
    """Batches of the test split, or of the validation split if there is no other, on the device that trains.

    All rows, on whichever rank this is called, and after on_after_batch_transfer as in evaluation. The datamodule must
    have been set up; its trainer, if there is one, says which device it is, else it is the CPU.
    """
    trainer = datamodule.trainer
    device = trainer.strategy.root_device if trainer is not None else torch.device("cpu")
    with _alone(datamodule):
        loader = getattr(datamodule, f"{split_of(datamodule)}_dataloader")()
    for batch in loader:
        with _alone(datamodule):
            batch = datamodule.on_before_batch_transfer(batch, 0)
            batch = datamodule.transfer_batch_to_device(batch, device, 0)
            batch = datamodule.on_after_batch_transfer(batch, 0)
        yield batch


def split_of(datamodule: pl.LightningDataModule) -> str:
    """`test` if the datamodule has such a split, else `val`."""
    return "test" if is_overridden("test_dataloader", datamodule) else "val"


@contextmanager
def _alone(datamodule: pl.LightningDataModule) -> Iterator[None]:
    """Without its trainer a datamodule takes itself for the only rank, and does not take the rows for training ones."""
    trainer, datamodule.trainer = datamodule.trainer, None
    try:
        yield
    finally:
        datamodule.trainer = trainer
