"""What the processes of one run, its ranks, agree on. Imports torch only inside functions: config.py needs it early."""

import os
import secrets
import sys
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

Value = TypeVar("Value")


def is_rank_zero() -> bool:
    """Whether this process is the first of the run, which alone writes and prints; told by what launched it."""
    if "RANK" in os.environ:  # torchrun
        return os.environ["RANK"] == "0"
    if "SLURM_PROCID" in os.environ and "LOCAL_RANK" not in os.environ:
        return os.environ["SLURM_PROCID"] == "0"
    # Lightning's own launcher, which counts on each node from 0.
    return all(os.environ.get(name, "0") == "0" for name in ("LOCAL_RANK", "NODE_RANK"))


def run_name() -> str:
    """When the run started, and a random number: DATE_TIME-ID. All processes of one torchrun get the same.

    Those that Lightning launches are given their run_dir by the first one.
    """
    name = f"{datetime.now():%Y-%m-%d_%H-%M-%S}-{secrets.token_hex(2)}"
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return name
    from torch.distributed import TCPStore

    store = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
    return store.compare_set("fastlight/run_name", "", name).decode()  # the first one's


def of_all_ranks(value: Value) -> list[Value]:
    """Each rank's value, in the order of ranks; all must ask. Tensors should be on the CPU."""
    from torch import distributed

    if not distributed.is_available() or not distributed.is_initialized():
        return [value]
    values: list[Value] = [value] * distributed.get_world_size()
    distributed.all_gather_object(values, value)
    return values


def max_over_ranks(number: "Tensor") -> "Tensor":
    """The largest of all ranks' numbers, in place; all must ask. A GPU's is queued, and not waited for.

    Lightning's own reduce first has all ranks wait for one another in a barrier.
    """
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(number, op=distributed.ReduceOp.MAX)
    return number


def check_ranks(trainer: Any, batch_size: int) -> None:
    """Say, once, what several devices make of the batch size.

    Raises ValueError if the processes would not work as one: started for a training that takes fewer, or about to be
    started by Lightning in the midst of a multirun.
    """
    started, devices = int(os.environ.get("WORLD_SIZE", "1")), trainer.world_size
    if started > devices:
        raise ValueError(f"{started} processes were started, for {devices} device: choose trainer=ddp or ddp_cpu")
    starts_others = devices > 1 and not trainer.strategy.cluster_environment.creates_processes_externally
    if starts_others and {"-m", "--multirun"} & set(sys.argv):  # which the others would be started with
        raise ValueError(
            f"in a multirun Lightning cannot start the processes of {devices} devices, each would run the whole sweep: "
            f"use torchrun --nproc-per-node {devices} train.py -m ..., or hydra/launcher=slurm, or one run per value"
        )
    if devices > 1 and trainer.is_global_zero:
        print(f"{devices} devices: batches of {batch_size} on each, {devices * batch_size} a step")
