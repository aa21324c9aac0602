"""What the processes of one run, its ranks, tell each other. Imports torch only inside functions."""

import os
import secrets
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from src.core.output import show

if TYPE_CHECKING:
    from torch import Tensor

Value = TypeVar("Value")
# The variable in which a launcher says how many processes it has started; srun sets some of the others', too.
STARTED = {
    "torchrun": "WORLD_SIZE",
    "srun": "SLURM_STEP_NUM_TASKS",
    "mpirun": "OMPI_COMM_WORLD_SIZE",
    "mpiexec": "PMI_SIZE",
}
ONE_RUN = "for one run on all of them give trainer=ddp (on CPUs ddp_cpu)"
WAYS_OUT = {
    "torchrun": f"{ONE_RUN} and trainer.num_nodes=NODES; for a run on its own start one process",
    "srun": f"{ONE_RUN}, trainer.devices=TASKS_PER_NODE, trainer.num_nodes=NODES, and sbatch or srun "
    "--ntasks-per-node=TASKS_PER_NODE, with any job name but bash and interactive; for a run on its own give srun "
    "--ntasks=1",
    **dict.fromkeys(
        ("mpirun", "mpiexec"), "MPI does not connect them: start one run with torchrun or srun, or one process alone"
    ),
}


def is_rank_zero() -> bool:
    """Whether this process is the run's first, the only one that writes and prints; its launcher's variables tell."""
    if "RANK" in os.environ:  # torchrun
        return os.environ["RANK"] == "0"
    if "SLURM_PROCID" in os.environ and "LOCAL_RANK" not in os.environ:
        return os.environ["SLURM_PROCID"] == "0"
    # Lightning's own launcher, which counts on each node from 0.
    return all(os.environ.get(name, "0") == "0" for name in ("LOCAL_RANK", "NODE_RANK"))


def in_multirun() -> bool:
    """Whether this is a job of a Hydra multirun."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def run_name() -> str:
    """DATE_TIME-ID: when the run started, and a random number. All processes of one torchrun get the same name.

    The first process gives its run_dir to those that Lightning launches.
    """
    name = f"{datetime.now():%Y-%m-%d_%H-%M-%S}-{secrets.token_hex(2)}"
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return name
    from torch.distributed import TCPStore

    store = TCPStore(os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False)
    return store.compare_set("fastlight/run_name", "", name).decode()  # the first one's


@cache
def meet_anew() -> None:
    """Have processes that torchrun has restarted meet at an address of their own.

    torch 2.13 has them meet in the store of the first ones, where gloo finds the addresses of processes that are gone.
    """
    restarts = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    if restarts == "0" or os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return
    from torch.distributed import TCPStore

    address, key = os.environ["MASTER_ADDR"], f"fastlight/port_{restarts}"
    shared = TCPStore(address, int(os.environ["MASTER_PORT"]), is_master=False)
    if is_rank_zero():
        _stores.append(TCPStore(address, 0, is_master=True, wait_for_workers=False))
        shared.set(key, str(_stores[0].port))
    os.environ["MASTER_PORT"] = shared.get(key).decode()


_stores: list[Any] = []  # in which this process has others meet, as long as it lives


def gather(value: Value) -> list[Value]:
    """Each rank's value, in the order of ranks. Every rank must call this; tensors should be on the CPU."""
    from torch import distributed

    if not distributed.is_available() or not distributed.is_initialized():
        return [value]
    values: list[Value] = [value] * distributed.get_world_size()
    distributed.all_gather_object(values, value)
    return values


class PendingMax:
    """The largest of all ranks' numbers, on its way to this process; `start_max` makes it.

    A GPU goes on meanwhile: `wait` waits only for what was queued before.
    """

    def __init__(self, largest: "Tensor") -> None:
        import torch

        self._here = largest.to("cpu", non_blocking=True)
        self._is_here = torch.cuda.Event() if largest.is_cuda else None
        if self._is_here is not None:
            self._is_here.record()

    def wait(self) -> int:
        """The number, the same on every rank."""
        if self._is_here is not None:
            self._is_here.synchronize()
        return int(self._here)


def start_max(number: "Tensor") -> PendingMax:
    """Start to find the largest of all ranks' numbers, in place. Every rank must call this.

    Lightning's own reduction first has all ranks wait for one another.
    """
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(number, op=distributed.ReduceOp.MAX)
    return PendingMax(number)


Size = TypeVar("Size", int, int | None)


def share(batch_size: Size, global_batch_size: int | None, ranks: int) -> Size | int:
    """The size of each rank's batch.

    Args:
        batch_size: of a rank, if there is no global_batch_size; None if the data are to say it.
        global_batch_size: of all ranks together.

    Raises:
        ValueError: the ranks cannot share it out evenly, and the mean of their losses would not be that of the rows.
    """
    if global_batch_size is None:
        return batch_size
    if global_batch_size < 1 or global_batch_size % ranks:
        raise ValueError(
            f"datamodule.global_batch_size must be a multiple of the number of devices, got {global_batch_size} and "
            f"{ranks} devices"
        )
    return global_batch_size // ranks


def _launcher() -> str | None:
    """What started this process, perhaps with others; None if it was a shell, as far as one can see."""
    found = (name for name, variable in STARTED.items() if variable in os.environ)
    return next(found, "srun" if "SLURM_NTASKS" in os.environ else None)


def _check_launch(devices: int, is_external: bool) -> None:
    """Raise ValueError unless as many processes were started as the training uses, by something that connects them."""
    launcher = _launcher()
    started = int(os.environ.get(STARTED.get(launcher or "", ""), "1"))
    if launcher is None or started == devices == 1 or (started == 1 and not is_external):
        return
    if started != devices or not is_external:
        processes = f"{launcher} started {started} process{'es' if started > 1 else ''}, for {devices} device"
        raise ValueError(f"{processes}{'s' if devices > 1 else ''}: {WAYS_OUT[launcher]}")


def check_ranks(trainer: Any, batch_size: int | None) -> None:
    """Show once which batches several devices make.

    Raises:
        ValueError: the processes would not work as one: others were started than the training uses, each would be a run
            of its own, or Lightning would start some in a multirun.
    """
    devices = trainer.world_size
    environment = getattr(trainer.strategy, "cluster_environment", None)  # a single device has none
    is_external = environment is not None and environment.creates_processes_externally
    _check_launch(devices, is_external)
    starts_others = devices > 1 and not is_external
    if starts_others and in_multirun():  # whose command line would start the others
        raise ValueError(
            f"in a multirun Lightning cannot start the processes of {devices} devices, each would run the whole sweep: "
            f"use torchrun --nproc-per-node {devices} train.py -m ..., or hydra/launcher=slurm, or one run per value"
        )
    if devices > 1 and trainer.is_global_zero:
        sizes = "batches that fit the data" if batch_size is None else f"batches of {batch_size}"
        show(f"{devices} devices: {sizes} on each{f', {devices * batch_size} a step' if batch_size else ''}")
