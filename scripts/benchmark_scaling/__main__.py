"""How fastlight scales: with processes, with data, and what it costs to start them.

    python -m scripts.benchmark_scaling data_dir=PATH [key=value ...] [--quick] [--only PART ...]
    python -m scripts.benchmark_scaling data_dir=PATH --trainer ddp --ranks 1 2 4 8 --startup-ranks 1 2 4 8   # GPUs

Every number comes from runs of `train.py`, each process on one thread. The last line is one JSON object;
scripts/benchmark_scaling/report.py makes tables and a picture of it.

    throughput   samples or tokens a second on pictures, text and a table, by 1, 2, ... ranks with a full batch each
                 (`ddp`), and by as many processes that share the machine but send nothing (`alone`); all-reduces among
                 the most ranks, by the number of bytes
    memory       peak of a run in MB, by the rows and tokens of its data: of the first run, which reads and encodes
                 them, and of a later one, which finds them in cache_dir. Needs 2 GB in $TMPDIR
    startup      seconds from the command to the first training step, ranks started by Lightning or by torchrun
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scripts.benchmark_scaling.data import write_table, write_text
from scripts.benchmark_scaling.processes import Runs, all_reduces, elsewhere, gradient_bytes, hardware, metrics_of

PARTS = ("throughput", "memory", "startup")
STEPS = {"fashion_mnist": 60, "shakespeare": 60, "flights": 240}  # some seconds each
QUICK_STEPS = {"digits": 10}
SIZES = {"rows": [10**4, 10**5, 10**6, 10**7], "tokens": [10**6, 10**7, 10**8]}
QUICK_SIZES = {"rows": [10**3, 10**4], "tokens": [10**4, 10**5]}
ALL_REDUCES = [4**power for power in range(5, 14)]  # bytes: 1 KB to 64 MB

TABLE = ["experiment=table", "datamodule.train_files=rows.csv", "datamodule.target=sold", "datamodule.task=regression"]
TEXT = ["experiment=wikitext2_small", "datamodule=text_files", "datamodule.folder=.", "datamodule.train_files=[a.txt]"]
GENERATED = {"rows": (write_table, "rows.csv", TABLE), "tokens": (write_text, "a.txt", TEXT)}
Turns = dict[str, dict[int, list[float]]]  # of what, by the number of ranks


def medians(turns: Turns) -> dict[str, dict[int, float]]:
    """The median of the turns of each."""
    return {name: {ranks: statistics.median(of) for ranks, of in by_ranks.items()} for name, by_ranks in turns.items()}


# ---- throughput ----


def throughput(runs: Runs, experiment: str, steps: int, args: argparse.Namespace) -> dict[str, Any]:
    """What an experiment counts, how many a step, the bytes of its gradients, and the speeds by number of processes."""
    choices = [f"experiment={experiment}", f"trainer.limit_train_batches={steps}", "trainer.log_every_n_steps=10"]
    single = ["trainer=default", f"trainer.accelerator={'cpu' if args.trainer == 'ddp_cpu' else 'gpu'}"]
    turns: Turns = {"alone": {}, "ddp": {}}
    folders: list[Path] = []
    for _ in range(args.repeats):
        for ranks in args.ranks:
            folders = runs.at_once(ranks, *choices, *single)
            turns["alone"].setdefault(ranks, []).append(sum(map(speed, folders)))
            if ranks > 1:
                together = runs.one(*choices, f"trainer={args.trainer}", f"trainer.devices={ranks}")
                turns["ddp"].setdefault(ranks, []).append(speed(together))
    metrics = metrics_of(folders[0])
    return {
        "unit": "tokens" if "train/tokens_per_second" in metrics else "samples",
        "batch": round(speed(folders[0]) * metrics["time/train_s"] / metrics["train/steps"]),
        "gradient_bytes": elsewhere(gradient_bytes, folders[0]),
        **medians(turns),
    }


def speed(run_dir: Path) -> float:
    """Samples or tokens a second, of all ranks."""
    [value] = [value for name, value in metrics_of(run_dir).items() if name.endswith("_per_second")]
    return value


def communication(gradients: Sequence[int], args: argparse.Namespace) -> dict[str, Any]:
    """Seconds of all-reduces among the most ranks, of sizes from small to large and of these gradients."""
    num_ranks, sizes = max(args.ranks), sorted({*ALL_REDUCES, *gradients})
    seconds = all_reduces(sizes, num_ranks, "gloo" if args.trainer == "ddp_cpu" else "nccl")
    return {"num_ranks": num_ranks, "all_reduce_s": dict(zip(sizes, seconds, strict=True))}


# ---- memory ----


def memory(runs: Runs, unit: str, sizes: Sequence[int]) -> dict[str, Any]:
    """Peak memory in MB by the number of rows or tokens, and the bytes that one more of them takes."""
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
        print(f"{size:,} {unit}: {peaks['first'][size]:,.0f} MB, later {peaks['later'][size]:,.0f} MB", flush=True)
    slopes = {run: np.polyfit(sizes, list(of_run.values()), 1)[0] * 2**20 for run, of_run in peaks.items()}
    return {"peak_mb": peaks, "bytes_each": slopes, "first_run_s": first_run_s}


# ---- start-up ----


def startup(runs: Runs, args: argparse.Namespace) -> dict[str, dict[int, float]]:
    """Seconds from the command until all ranks are at their first step, by who started them and their number."""
    turns: Turns = {"lightning": {}, "torchrun": {}}
    for _ in range(args.repeats):
        for ranks in args.startup_ranks:
            for launcher, by_ranks in turns.items():
                by_ranks.setdefault(ranks, []).append(seconds_to_first_step(runs, ranks, args.trainer, launcher))
    return medians(turns)


def seconds_to_first_step(runs: Runs, ranks: int, trainer: str, launcher: str) -> float:
    """From the command until the last rank's first step."""
    callback = "+callbacks.first_step"
    choices = ["experiment=digits", "trainer.limit_train_batches=1", f"trainer={trainer}", f"trainer.devices={ranks}"]
    with tempfile.TemporaryDirectory(dir=runs.folder) as folder:
        choices += [
            f"{callback}._target_=scripts.benchmark_scaling.first_step.FirstStep",
            f"{callback}.folder={folder}",
        ]
        start = time.time()
        runs.one(*choices, torchrun=ranks if launcher == "torchrun" else 0)
        return max(float(path.read_text()) for path in Path(folder).iterdir()) - start


# ---- all of it ----


def measured(args: argparse.Namespace, runs: Runs) -> dict[str, Any]:
    """The parts that are asked for."""
    result: dict[str, Any] = {}
    if "throughput" in args.only:
        result["throughput"] = {}
        for experiment, steps in (QUICK_STEPS if args.quick else STEPS).items():
            result["throughput"][experiment] = throughput(runs, experiment, steps, args)
            print(f"{experiment}: {result['throughput'][experiment]}", flush=True)
        gradients = [numbers["gradient_bytes"] for numbers in result["throughput"].values()]
        result["communication"] = communication(gradients, args)
    if "memory" in args.only:
        sizes = QUICK_SIZES if args.quick else SIZES
        result["memory"] = {unit: memory(runs, unit, sizes[unit]) for unit in GENERATED}
    if "startup" in args.only:
        result["startup"] = startup(runs, args)
    return result


def main(arguments: Sequence[str]) -> None:
    """Measure, and print all that was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="key=value for every run, as for train.py")
    parser.add_argument("--quick", action="store_true", help="small sizes, one turn; shows that it works")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="these parts")
    parser.add_argument("--trainer", choices=("ddp_cpu", "ddp"), default="ddp_cpu")
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2], help="numbers of processes")
    parser.add_argument("--startup-ranks", type=int, nargs="+", default=[1, 2, 4], help="the same, for startup")
    parser.add_argument("--repeats", type=int, default=3, help="turns of throughput and startup, whose median counts")
    args = parser.parse_intermixed_args(arguments)
    if args.quick:
        args.repeats, args.startup_ranks = 1, [max(args.ranks)]
    with tempfile.TemporaryDirectory() as folder:
        result = measured(args, Runs(Path(folder), args.overrides))
    print(json.dumps(result | elsewhere(hardware)))


if __name__ == "__main__":
    main(sys.argv[1:])
