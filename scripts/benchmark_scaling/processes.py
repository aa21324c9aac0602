"""What benchmark_scaling starts in other processes: runs of train.py, and work that needs torch.

Its own process stays small, since the peak memory of a process begins at that of the process which started it.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from src.core.errors import ROOT

SHORT = ["callbacks=default", "trainer.max_epochs=1", "trainer.limit_val_batches=1", "trainer.limit_test_batches=1"]
Started = tuple[Path, subprocess.Popen[bytes]]


class Runs:
    """Starts short runs of train.py, each rank on one thread, and returns their run_dirs when they are done."""

    def __init__(self, folder: Path, overrides: Sequence[str]) -> None:
        self.folder = folder
        self.overrides = overrides

    def one(self, *overrides: str, torchrun: int = 0) -> Path:
        """Start one run; torchrun starts its ranks if their number is given."""
        return self._wait(self._start(overrides, torchrun))

    def at_once(self, copies: int, *overrides: str) -> list[Path]:
        """Start the same run several times at once, each on a GPU of its own if there are any."""
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
    """Read the final numbers of a run."""
    return json.loads((run_dir / "metrics.json").read_text())


def gradient_bytes(run_dir: Path) -> int:
    """Count the bytes that each rank has to send in a step of this run."""
    from src.training.checkpoint import load_model

    model = load_model(run_dir / "checkpoints" / "last.ckpt")
    return sum(weight.numel() * weight.element_size() for weight in model.parameters() if weight.requires_grad)


def all_reduces(sizes: Sequence[int], num_ranks: int, backend: str) -> list[float]:
    """Time all-reduces of these sizes in bytes among processes that do nothing else; the median of many each."""
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
