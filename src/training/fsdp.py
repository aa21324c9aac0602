"""FSDP by Lightning's ModelParallelStrategy, for any net of this project without changes to it."""

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import ModelParallelStrategy
from torch.distributed.fsdp import FSDPModule, fully_shard


class FSDP(ModelParallelStrategy):
    """Divides weights, gradients and optimizer state among all devices; checkpoints are as on one device."""

    def __init__(self) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False)

    def setup_environment(self) -> None:
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    def setup(self, trainer: pl.Trainer) -> None:
        net: Any = self.lightning_module.net  # pyright: ignore[reportOptionalMemberAccess]
        if not isinstance(net, FSDPModule):  # the fit before a test has done it
            net.to(memory_format=torch.contiguous_format)  # it does not accept channels_last weights
            fully_shard(net, mesh=self.device_mesh["data_parallel"])
        super().setup(trainer)

    def load_checkpoint(self, checkpoint_path: str | Path, weights_only: bool | None = True) -> dict[str, Any]:
        checked = self.checkpoint_io.load_checkpoint(checkpoint_path)  # Lightning would not call it
        if not self.lightning_module.trainer.training:  # pyright: ignore[reportOptionalMemberAccess]
            self.optimizers = []  # those of the fit before: a test does not restore them
        loaded = super().load_checkpoint(checkpoint_path, weights_only=True)
        return {**loaded, "callbacks": checked.get("callbacks", {})}
