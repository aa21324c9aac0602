"""The learning-rate finders to compare, each at its defaults: fastlight's and those of other libraries."""

import contextlib
import importlib.util
import io
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Any

import pytorch_lightning as pl
from matplotlib.figure import Figure
from pytorch_lightning.tuner.tuning import Tuner

from scripts.benchmark_lr_finder.tasks import ALL, Task
from src.core.output import show, warn

OURS = ("combined", "minimum", "steep", "valley", "slide")
TORCH_LR_FINDER_START = 1e-7
HOW_TO_INSTALL = "torch-lr-finder is left out: pip install torch-lr-finder==0.2.2"


def ours(task: Task, seed: int) -> dict[str, float | None]:
    """Search once with fastlight; returns the suggestion of each rule."""
    from src.callbacks.lr_finder.finder import LRFinder

    pl.seed_everything(seed, verbose=False)
    model = task.make_model(task.rates[0])
    loader, _ = task.make_data(seed)
    found = LRFinder().find(task.make_trainer(), model, train_dataloaders=loader)
    return {rule: found.suggestions[rule] for rule in OURS}


def lightning(task: Task, seed: int) -> float | None:
    """Search with Lightning's Tuner, which returns None where it finds its curve too short."""
    pl.seed_everything(seed, verbose=False)
    model = task.make_model(task.rates[0])
    loader, _ = task.make_data(seed)
    with tempfile.TemporaryDirectory() as folder:
        trainer = task.make_trainer(default_root_dir=folder)
        found = Tuner(trainer).lr_find(model, train_dataloaders=loader, num_training=100)
    return None if found is None else found.suggestion()


def torch_lr_finder(task: Task, seed: int) -> float:
    """Search with torch-lr-finder: the steepest point of its smoothed curve, as its plot marks it."""
    from torch_lr_finder import LRFinder, TrainDataLoaderIter  # pyright: ignore[reportMissingImports]

    pl.seed_everything(seed, verbose=False)
    model = task.make_model(TORCH_LR_FINDER_START)
    loader, _ = task.make_data(seed)
    optimizer = model.make_optimizer(model.parameter_groups(), lr=TORCH_LR_FINDER_START)
    finder = LRFinder(model, optimizer, task.criterion)
    finder.range_test(TrainDataLoaderIter(loader), end_lr=10, num_iter=100)
    marked: Any = finder.plot(ax=Figure().subplots(), suggest_lr=True)
    return float(marked[1])


RIVALS: dict[str, Callable[[Task, int], float | None]] = {"lightning": lightning}
if importlib.util.find_spec("torch_lr_finder") is not None:
    RIVALS["torch-lr-finder"] = torch_lr_finder


def search(finder: str, task: str, seed: int) -> tuple[dict[str, float | None], str]:
    """Search with one finder; returns each rule's suggestion, or None, and why there is none."""
    rules = OURS if finder == "ours" else (finder,)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            found = ours(ALL[task], seed) if finder == "ours" else {finder: RIVALS[finder](ALL[task], seed)}
        except Exception as error:  # this finder gives its user no rate: that is counted and shown
            return dict.fromkeys(rules), f"{type(error).__name__}: {error}"
    usable = {rule: rate if rate and math.isfinite(rate) else None for rule, rate in found.items()}
    return usable, "" if None not in usable.values() else "no suggestion"


def search_all(pool: Executor, tasks: Sequence[str], num_seeds: int) -> dict[str, dict[str, list[float | None]]]:
    """Search with all finders; returns the suggestions of all seeds by rule and task, and warns of failures."""
    started = time.perf_counter()
    finders = ["ours", *RIVALS]
    jobs = [(finder, task, seed) for finder in finders for task in tasks for seed in range(num_seeds)]
    results = [future.result() for future in [pool.submit(search, *job) for job in jobs]]
    suggestions: dict[str, dict[str, list[float | None]]] = {rule: {t: [] for t in tasks} for rule in (*OURS, *RIVALS)}
    for (finder, task, seed), (rates, reason) in zip(jobs, results, strict=True):
        for rule, rate in rates.items():
            suggestions[rule][task].append(rate)
        if reason:
            warn(f"{finder} failed on {task}, seed {seed}: {reason}"[:400])
    show(f"{len(jobs)} searches: {time.perf_counter() - started:.0f} s")
    return suggestions
