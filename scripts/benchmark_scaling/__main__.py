"""Measures how fastlight scales with processes and with data, and how long it takes to start.

    python -m scripts.benchmark_scaling data_dir=PATH [key=value ...] [--quick] [--only PART ...]
    python -m scripts.benchmark_scaling data_dir=PATH --trainer ddp --ranks 1 2 4 8 --startup-ranks 1 2 4 8   # GPUs

Every number comes from runs of `train.py`, each process on one thread. The last line is one JSON object;
scripts/benchmark_scaling/report.py makes tables and a figure of it.

    throughput   samples or tokens a second on images, text and a table, for 1, 2, ... ranks with a full batch each
                 (`ddp`), and for as many processes that share the machine but send nothing (`alone`); also the seconds
                 of all-reduces among the most ranks, by the number of bytes
    memory       peak of a run in MB, by the rows and tokens of its data: of the first run, which reads and encodes
                 them, and of a later one, which finds them in cache_dir. Needs 2 GB in $TMPDIR
    startup      seconds from the command to the first training step, for ranks started by Lightning or by torchrun
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.benchmark_scaling.measurements import GENERATED, communication, memory, startup, throughput
from scripts.benchmark_scaling.processes import Runs
from scripts.shared.arguments import command_line
from scripts.shared.hardware import hardware
from scripts.shared.processes import elsewhere
from src.core.output import show

PARTS = ("throughput", "memory", "startup")
STEPS = {"fashion_mnist": 60, "shakespeare": 60, "flights": 240}  # some seconds each
QUICK_STEPS = {"digits": 10}
SIZES = {"rows": [10**4, 10**5, 10**6, 10**7], "tokens": [10**6, 10**7, 10**8]}
QUICK_SIZES = {"rows": [10**3, 10**4], "tokens": [10**4, 10**5]}


def measured(args: argparse.Namespace, runs: Runs) -> dict[str, Any]:
    """Measure the parts that are asked for."""
    result: dict[str, Any] = {}
    if "throughput" in args.only:
        result["throughput"] = {}
        for experiment, steps in (QUICK_STEPS if args.quick else STEPS).items():
            found = throughput(runs, experiment, steps, trainer=args.trainer, ranks=args.ranks, repeats=args.repeats)
            result["throughput"][experiment] = found
            show(f"{experiment}: {found}")
        gradients = [numbers["gradient_bytes"] for numbers in result["throughput"].values()]
        result["communication"] = communication(gradients, max(args.ranks), args.trainer)
    if "memory" in args.only:
        sizes = QUICK_SIZES if args.quick else SIZES
        result["memory"] = {unit: memory(runs, unit, sizes[unit]) for unit in GENERATED}
    if "startup" in args.only:
        result["startup"] = startup(runs, trainer=args.trainer, ranks=args.startup_ranks, repeats=args.repeats)
    return result


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and show all that was found."""
    parser = command_line("benchmark_scaling", __doc__)
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
    show(json.dumps(result | elsewhere(hardware)))


if __name__ == "__main__":
    main()
