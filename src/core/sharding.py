"""Models that are divided among devices."""

import pytorch_lightning as pl
from pytorch_lightning.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor


def is_sharded(trainer: pl.Trainer) -> bool:
    """Whether each rank holds only its part of the weights; work that one rank does alone with the model never ends."""
    return isinstance(trainer.strategy, DeepSpeedStrategy | FSDPStrategy | ModelParallelStrategy)


def refuse_sharding(trainer: pl.Trainer, what: str) -> None:
    """Raise ValueError if each rank holds only its part of the weights, and `what` needs all of them."""
    if is_sharded(trainer):
        raise ValueError(
            f"{what} copies the whole model, and trainer=fsdp divides it: choose trainer=ddp, or one device"
        )


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor of which each rank may hold a part. Every rank must call this."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def placed_like(tensor: Tensor, other: Tensor) -> Tensor:
    """A whole tensor on the device of another one, and divided like it. Every rank must call this."""
    tensor = tensor.to(other.device)
    return distribute_tensor(tensor, other.device_mesh, other.placements) if isinstance(other, DTensor) else tensor
