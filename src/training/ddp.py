"""DDP whose sums of gradients do not depend on where a run was stopped."""

from contextlib import nullcontext
from typing import Any

import torch
from pytorch_lightning.strategies import DDPStrategy
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from src.core.internals import build_buckets


class FixedBuckets(DistributedDataParallel):
    """Sums the gradients in the same groups from the first step on.

    DDP itself begins with one group, and builds others after its first step, by the order in which the gradients came.
    A gradient's place in its group is the order in which a ring of three or more ranks adds it up: the first step of a
    resumed run would be rounded otherwise than that of the run it continues. Here the groups are in the order of the
    parameters from the last to the first, which is the usual order of their gradients.
    """

    def __init__(self, module: nn.Module, **choices: Any) -> None:
        super().__init__(module, **choices)
        build_buckets(self)

    def _build_params_for_reducer(self) -> tuple[list[nn.Parameter], list[bool]]:
        parameters, is_sparse = super()._build_params_for_reducer()
        return parameters[::-1], is_sparse[::-1]


class DDP(DDPStrategy):
    """Lightning's DDP with FixedBuckets."""

    def _setup_model(self, model: nn.Module) -> DistributedDataParallel:
        devices = self.determine_ddp_device_ids()
        # On a stream of its own, as Lightning and https://pytorch.org/docs/stable/notes/cuda.html#id5 do it.
        with torch.cuda.stream(torch.cuda.Stream()) if devices is not None else nullcontext():
            return FixedBuckets(model, device_ids=devices, **self._ddp_kwargs)
