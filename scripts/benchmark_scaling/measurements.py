"""What benchmark_scaling measures: throughput, memory and start-up of runs of train.py."""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scripts.benchmark_scaling.data import write_table, write_text
from scripts.benchmark_scaling.processes import Runs, all_reduces, gradient_bytes, metrics_of
from scripts.shared.processes import elsewhere
from src.core.output import show

ALL_REDUCES = [4**power for power in range(5, 14)]  # bytes: 1 KB to 64 MB
TABLE = ["experiment=table", "datamodule.train_files=rows.csv", "datamodule.target=sold", "datamodule.task=regression"]
TABLE += ["model/net=entity_mlp"]
TEXT = ["experiment=wikitext2_small", "datamodule=text_files", "datamodule.folder=.", "datamodule.train_files=[a.txt]"]
GENERATED = {"rows": (write_table, "rows.csv", TABLE), "tokens": (write_text, "a.txt", TEXT)}
Turns = dict[str, dict[int, list[float]]]  # by what was measured and the number of ranks


def medians(turns: Turns) -> dict[str, dict[int, float]]:
    """Take the median of the turns of each."""
    return {name: {ranks: statistics.median(of) for ranks, of in by_ranks.items()} for name, by_ranks in turns.items()}


def throughput(
    runs: Runs, experiment: str, steps: int, *, trainer: str, ranks: Sequence[int], repeats: int
) -> dict[str, Any]:
    """Measure an experiment's speed by the number of processes, its batch, and the bytes of its gradients.

    Args:
        runs: starts the runs.
        experiment: its name.
        steps: of each run.
        trainer: `ddp` or `ddp_cpu`.
        ranks: numbers of processes.
        repeats: turns, whose median counts.
    """
    choices = [f"experiment={experiment}", f"trainer.limit_train_batches={steps}", "trainer.log_every_n_steps=10"]
    single = ["trainer=default", f"trainer.accelerator={'cpu' if trainer == 'ddp_cpu' else 'gpu'}"]
    turns: Turns = {"alone": {}, "ddp": {}}
    folders: list[Path] = []
    for _ in range(repeats):
        for count in ranks:
            folders = runs.at_once(count, *choices, *single)
            turns["alone"].setdefault(count, []).append(sum(map(speed, folders)))
            if count > 1:
                together = runs.one(*choices, f"trainer={trainer}", f"trainer.devices={count}")
                turns["ddp"].setdefault(count, []).append(speed(together))
    metrics = metrics_of(folders[0])
    return {
        "unit": "tokens" if "train/tokens_per_second" in metrics else "samples",
        "batch": round(speed(folders[0]) * metrics["time/train_s"] / metrics["train/steps"]),
        "gradient_bytes": elsewhere(gradient_bytes, folders[0]),
        **medians(turns),
    }


def speed(run_dir: Path) -> float:
    """Read the samples or tokens a second of all ranks of a run."""
    [value] = [value for name, value in metrics_of(run_dir).items() if name.endswith("_per_second")]
    return value


def communication(gradients: Sequence[int], num_ranks: int, trainer: str) -> dict[str, Any]:
    """Time all-reduces among the ranks, of sizes from small to large and of these gradients, in bytes."""
    sizes = sorted({*ALL_REDUCES, *gradients})
    seconds = all_reduces(sizes, num_ranks, "gloo" if trainer == "ddp_cpu" else "nccl")
    return {"num_ranks": num_ranks, "all_reduce_s": dict(zip(sizes, seconds, strict=True))}


def memory(runs: Runs, unit: str, sizes: Sequence[int]) -> dict[str, Any]:
    """Measure peak memory in MB by the number of rows or tokens, and the bytes that each of them adds."""
    peaks: dict[str, dict[int, float]] = {"first": {}, "later": {}}
    first_run_s = {}
    write, name, choices = GENERATED[unit]
    for size in sizes:
        with tempfile.TemporaryDirectory(dir=runs.folder) as folder:
            write(Path(folder, name), size)
            places = [f"data_dir={folder}", f"cache_dir={folder}/cache", "trainer.limit_train_batches=20"]
            start = time.perf_counter()
            for of_run in peaks.values():
                of_run[size] = metrics_of(runs.one(*choices, *places))["memory/peak_mb"]
                first_run_s.setdefault(size, time.perf_counter() - start)
        show(f"{size:,} {unit}: {peaks['first'][size]:,.0f} MB, later {peaks['later'][size]:,.0f} MB")
    slopes = {run: np.polyfit(sizes, list(of_run.values()), 1)[0] * 2**20 for run, of_run in peaks.items()}
    return {"peak_mb": peaks, "bytes_each": slopes, "first_run_s": first_run_s}


def startup(runs: Runs, *, trainer: str, ranks: Sequence[int], repeats: int) -> dict[str, dict[int, float]]:
    """Measure seconds from the command to the last rank's first step, by launcher and number of ranks."""
    turns: Turns = {"lightning": {}, "torchrun": {}}
    for _ in range(repeats):
        for count in ranks:
            for launcher, by_ranks in turns.items():
                by_ranks.setdefault(count, []).append(seconds_to_first_step(runs, count, trainer, launcher))
    return medians(turns)


def seconds_to_first_step(
    runs: Runs, ranks: int, trainer: str, launcher: str, *, clock: Callable[[], float] = time.time
) -> float:
    """Start a run and measure the seconds from the command until the last rank's first step."""
    callback = "+callbacks.first_step"
    choices = ["experiment=digits", "trainer.limit_train_batches=1", f"trainer={trainer}", f"trainer.devices={ranks}"]
    choices += [f"{callback}._target_=scripts.benchmark_scaling.first_step.FirstStep"]
    with tempfile.TemporaryDirectory(dir=runs.folder) as folder:
        start = clock()
        runs.one(*choices, f"{callback}.folder={folder}", torchrun=ranks if launcher == "torchrun" else 0)
        return max(float(path.read_text()) for path in Path(folder).iterdir()) - start
