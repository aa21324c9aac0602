"""FSDP of a whole net by Lightning's ModelParallelStrategy, for any net of this project as it is."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import ModelParallelStrategy
from torch.distributed.fsdp import FSDPModule, fully_shard


class FSDP(ModelParallelStrategy):
    """Weights, gradients and optimizer state divided among all devices; checkpoints are as those of one device."""

    def __init__(self) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False)

    def setup_environment(self) -> None:
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    def setup(self, trainer: pl.Trainer) -> None:
        net: Any = self.lightning_module.net  # pyright: ignore[reportOptionalMemberAccess]
        if not isinstance(net, FSDPModule):  # as it is from the fit, when the test comes
            net.to(memory_format=torch.contiguous_format)  # it does not take weights with their channels last
            fully_shard(net, mesh=self.device_mesh["data_parallel"])
        super().setup(trainer)

    def load_checkpoint(self, checkpoint_path: str | Path, weights_only: bool | None = True) -> dict[str, Any]:
        checked = self.checkpoint_io.load_checkpoint(checkpoint_path)  # which Lightning passes by
        if not self.lightning_module.trainer.training:  # pyright: ignore[reportOptionalMemberAccess]
            self.optimizers = []  # those of the fit before: their state is not for a test
        loaded = super().load_checkpoint(checkpoint_path, weights_only=True)
        return {**loaded, "callbacks": checked.get("callbacks", {})}
