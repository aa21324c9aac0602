"""Models that are divided among devices."""

import pytorch_lightning as pl
from pytorch_lightning.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy


def is_sharded(trainer: pl.Trainer) -> bool:
    """Whether each rank holds only its part of the weights; work that one rank does alone with the model never ends."""
    return isinstance(trainer.strategy, DeepSpeedStrategy | FSDPStrategy | ModelParallelStrategy)


def refuse_sharding(trainer: pl.Trainer, what: str) -> None:
    """Raise ValueError if each rank holds only its part of the weights, and `what` needs all of them."""
    if is_sharded(trainer):
        raise ValueError(
            f"{what} copies the whole model, and trainer=fsdp divides it: choose trainer=ddp, or one device"
        )
