"""Reads a training's bptt, tries another one on copies of its loaders, or sets it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from pytorch_lightning import Trainer

from src.callbacks.search.snapshot import random_state_kept
from src.callbacks.search.training_steps import TrainingBatches, copied_loader, rebuild_optimizers
from src.core.internals import combined_loader, count_batches_anew, forget_loader, fresh_loaders, training_loaders


def check_bptt(trainer: Trainer) -> None:
    """Raise TypeError if neither a training loader nor the datamodule has `bptt`."""
    if not _with_bptt(training_loaders(trainer)) and not _has_bptt(_datamodule(trainer)):
        names = ", ".join(type(loader).__name__ for loader in training_loaders(trainer))
        raise TypeError(
            f"bptt_finder needs a training loader or a datamodule with bptt, the length of its windows; {names} and "
            f"{type(_datamodule(trainer)).__name__} have none: leave the finder out, or give a BPTTLoader"
        )


@contextmanager
def batches_at(trainer: Trainer, bptt: int) -> Iterator[TrainingBatches]:
    """The training's batches with another bptt; its own loaders do not advance.

    They come from copies of the loaders or, if only the datamodule has bptt, from new loaders that it makes.
    """
    if _with_bptt(training_loaders(trainer)):
        copies = [copied_loader(loader) for loader in training_loaders(trainer)]
        for loader in _with_bptt(copies):
            loader.bptt = bptt
    else:
        copies = _made_at(trainer, bptt)
    with closing(TrainingBatches(trainer, copies)) as batches:
        yield batches


def set_bptt(trainer: Trainer, bptt: int) -> None:
    """Set bptt in the datamodule and in the training loaders, and make Lightning count their batches again.

    Call it before the first batch. A datamodule that has bptt also makes new validation loaders, as it would have done
    with this bptt from the start.
    """
    datamodule, loop = _datamodule(trainer), trainer.fit_loop
    if _has_bptt(datamodule):
        datamodule.bptt = bptt
    loop.setup_data()
    loaders = _with_bptt(training_loaders(trainer))
    for loader in loaders:
        loader.bptt = bptt
    with random_state_kept():  # an iterator may draw a seed a second time
        count_batches_anew(trainer, keep_loaders=bool(loaders))
    validation = loop.epoch_loop.val_loop
    if _has_bptt(datamodule) and combined_loader(validation) is not None:
        forget_loader(validation)
        trainer.validating = True
        validation.setup_data()
        trainer.training = True


def rebuild_schedule(trainer: Trainer) -> None:
    """Build optimizers and schedulers again for another number of steps, before the first step.

    Raises:
        ValueError: there is a schedule, and the optimizers would now hold other parameters than before.
    """
    if not rebuild_optimizers(trainer) and trainer.lr_scheduler_configs:
        raise ValueError(
            "bptt_finder.apply builds the schedule again for another number of steps, but the optimizers would now "
            "hold other parameters, because some were frozen or added meanwhile: set datamodule.bptt by hand"
        )


def _made_at(trainer: Trainer, bptt: int) -> list[Any]:
    """The training loaders that Lightning would get from the datamodule with another bptt."""
    datamodule = _datamodule(trainer)
    before = datamodule.bptt
    datamodule.bptt = bptt
    try:
        with random_state_kept():
            return fresh_loaders(trainer)
    finally:
        datamodule.bptt = before


def _datamodule(trainer: Trainer) -> Any:
    return getattr(trainer, "datamodule", None)


def _has_bptt(thing: Any) -> bool:
    return hasattr(thing, "bptt")


def _with_bptt(loaders: list[Any]) -> list[Any]:
    return [loader for loader in loaders if _has_bptt(loader)]
