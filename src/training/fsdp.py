"""FSDP by Lightning's ModelParallelStrategy, for any net of this project without changes to it."""

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.strategies import ModelParallelStrategy
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.fsdp import FSDPModule, fully_shard


class FSDP(ModelParallelStrategy):
    """Divides weights, gradients and optimizer state among all devices; checkpoints are as on one device."""

    def __init__(self) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False)

    @property
    def restore_checkpoint_after_setup(self) -> bool:
        return False  # callbacks use in on_fit_start what they have loaded, which Lightning would do after it

    @property
    def lightning_restore_optimizer(self) -> bool:
        return True

    def setup_environment(self) -> None:
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    def setup(self, trainer: pl.Trainer) -> None:
        net: Any = self._module.net
        if not isinstance(net, FSDPModule):  # the fit before a test has done it
            net.to(memory_format=torch.contiguous_format)  # it does not accept channels_last weights
            fully_shard(net, mesh=self.device_mesh["data_parallel"])
        super().setup(trainer)

    def load_checkpoint(self, checkpoint_path: str | Path, weights_only: bool | None = True) -> dict[str, Any]:
        return self.checkpoint_io.load_checkpoint(checkpoint_path)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        # The net is divided only if this is a test after a fit.
        options = StateDictOptions(full_state_dict=True, strict=strict)
        set_model_state_dict(self._module, checkpoint["state_dict"], options=options)

    def optimizer_state(self, optimizer: Any) -> dict[str, Any]:
        """The whole state on rank 0, numbered by the order of the optimizer's parameters, as on one device."""
        optimizer = getattr(optimizer, "optimizer", optimizer)  # Lightning wraps it
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        named: Any = get_optimizer_state_dict(self._module, optimizer, options=options)
        if self.global_rank:
            return {}
        names_of_groups = self._names(optimizer)
        numbers = {name: number for number, name in enumerate(chain(*names_of_groups))}
        groups = zip(named["param_groups"], names_of_groups, strict=True)
        return {
            "state": {numbers[name]: state for name, state in named["state"].items()},
            "param_groups": [{**group, "params": [numbers[name] for name in names]} for group, names in groups],
        }

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        for optimizer, saved in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            groups = list(zip(saved["param_groups"], self._names(optimizer), strict=True))
            names = {number: name for group, own in groups for number, name in zip(group["params"], own, strict=True)}
            named = {
                "state": {names[number]: state for number, state in saved["state"].items()},
                "param_groups": [{**group, "params": own} for group, own in groups],
            }
            options = StateDictOptions(full_state_dict=True)
            set_optimizer_state_dict(self._module, optimizer, named, options=options)

    def _names(self, optimizer: Any) -> list[list[str]]:
        """The names of the parameters of each group, in its order."""
        names = {id(value): name.replace("_orig_mod.", "") for name, value in self._module.named_parameters()}
        return [[names[id(parameter)] for parameter in group["params"]] for group in optimizer.param_groups]

    @property
    def _module(self) -> pl.LightningModule:
        assert self.lightning_module is not None
        return self.lightning_module
