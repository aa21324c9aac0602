"""What a callback cannot do while the model is divided among devices."""

import pytorch_lightning as pl
from pytorch_lightning.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy


def refuse_sharding(trainer: pl.Trainer, what: str) -> None:
    """Raise ValueError if each rank holds only its part of the weights, which `what` needs whole."""
    if isinstance(trainer.strategy, DeepSpeedStrategy | FSDPStrategy | ModelParallelStrategy):
        raise ValueError(
            f"{what} copies the whole model, and trainer=fsdp divides it: choose trainer=ddp, or one device"
        )
