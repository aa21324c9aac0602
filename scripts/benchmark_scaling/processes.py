"""What benchmark_scaling lets others do: runs of train.py, and work that needs torch. It stays small itself, since the
peak memory of a process begins at that of the one which started it.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from src.core.errors import ROOT

SHORT = ["callbacks=default", "trainer.max_epochs=1", "trainer.limit_val_batches=1", "trainer.limit_test_batches=1"]
Value = TypeVar("Value")
Started = tuple[Path, subprocess.Popen[bytes]]

# ---- train.py ----


class Runs:
    """Short runs of train.py, each rank on one thread. Their run_dirs, below `folder`, come back when they are done."""

    def __init__(self, folder: Path, overrides: Sequence[str]) -> None:
        self.folder = folder
        self.overrides = overrides

    def one(self, *overrides: str, torchrun: int = 0) -> Path:
        """A run, its ranks started by torchrun if that many are given."""
        return self._wait(self._start(overrides, torchrun))

    def at_once(self, copies: int, *overrides: str) -> list[Path]:
        """The same run several times at once, each on a GPU of its own if there are any."""
        started = [self._start(overrides, CUDA_VISIBLE_DEVICES=str(copy)) for copy in range(copies)]
        return [self._wait(run) for run in started]

    def _start(self, overrides: Sequence[str], torchrun: int = 0, **environment: str) -> Started:
        run_dir = Path(tempfile.mkdtemp(dir=self.folder))
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={torchrun}"] if torchrun else []
        command = [sys.executable, *launcher, str(ROOT / "train.py"), *SHORT, *self.overrides, *overrides]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
        with (run_dir / "output.txt").open("w") as output:
            run = subprocess.Popen([*command, f"run_dir={run_dir}"], stdout=output, stderr=output, env=environment)
        return run_dir, run

    def _wait(self, started: Started) -> Path:
        run_dir, run = started
        if run.wait():
            command, output = " ".join(map(str, run.args)), (run_dir / "output.txt").read_text()  # pyright: ignore
            raise RuntimeError(f"exit status {run.returncode} of {command}\n{output}")
        return run_dir


def metrics_of(run_dir: Path) -> dict[str, float]:
    """The numbers of a run."""
    return json.loads((run_dir / "metrics.json").read_text())


# ---- work that needs torch ----


def elsewhere(function: Callable[..., Value], *arguments: Any) -> Value:
    """What a function returns in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


def hardware() -> dict[str, str]:
    """The GPUs, or the CPU and its cores; and torch's version."""
    import torch

    if torch.cuda.is_available():
        device = f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    else:
        name = torch.cpu.get_capabilities().get("cpu_name") or platform.processor()
        device = f"{name}, {os.cpu_count()} cores"
    return {"hardware": device, "torch": torch.__version__}


def gradient_bytes(run_dir: Path) -> int:
    """What each rank has to send in a step of this run."""
    from src.training.checkpoint import load_model

    model = load_model(run_dir / "checkpoints" / "last.ckpt")
    return sum(weight.numel() * weight.element_size() for weight in model.parameters() if weight.requires_grad)


def all_reduces(sizes: Sequence[int], num_ranks: int, backend: str) -> list[float]:
    """Seconds of an all-reduce of so many bytes among processes that do nothing else, the median of many."""
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(num_ranks, mp_context=get_context("spawn")) as processes,
    ):
        work = partial(_all_reduces, sizes=sizes, num_ranks=num_ranks, backend=backend, meeting=f"{folder}/meeting")
        return next(iter(processes.map(work, range(num_ranks))))


def _all_reduces(rank: int, *, sizes: Sequence[int], num_ranks: int, backend: str, meeting: str) -> list[float]:
    import torch
    from torch import distributed

    torch.set_num_threads(1)
    device = torch.device("cuda", rank) if backend == "nccl" else torch.device("cpu")
    distributed.init_process_group(backend, init_method=f"file://{meeting}", rank=rank, world_size=num_ranks)
    medians = []
    for size in sizes:
        gradient, seconds = torch.zeros(size // 4, device=device), []
        for _ in range(300 if size < 10**6 else 40):
            distributed.barrier()
            start = time.perf_counter()
            distributed.all_reduce(gradient)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds.append(time.perf_counter() - start)
        medians.append(statistics.median(seconds))
    distributed.destroy_process_group()
    return medians
