"""What the suggestions of learning-rate finders cost on each task."""

import statistics
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from scripts.benchmark_lr_finder.rivals import search_all
from scripts.benchmark_lr_finder.tasks import ALL, train
from src.core.output import show


@dataclass(frozen=True)
class Outcome:
    """The cost of one rule's suggestions for one task.

    Attributes:
        regret: the mean loss at the suggestions over the grid's lowest mean, minus 1.
        spread: the largest suggestion over the smallest; None if fewer than two searches gave a rate.
        failed: how many searches gave none.
        rates: the suggestions of the others.
    """

    regret: float
    spread: float | None
    failed: int
    rates: list[float]


Outcomes = dict[str, dict[str, Outcome]]  # by rule and task
Grids = dict[str, dict[float, float]]  # mean losses by task and rate
Training = tuple[str, float, int]  # task, rate, seed
Losses = dict[Training, float]


def run_trainings(pool: Executor, trainings: Iterable[Training], losses: Losses) -> None:
    """Add the validation losses of those trainings that `losses` does not have yet."""
    missing = [training for training in dict.fromkeys(trainings) if training not in losses]
    started = time.perf_counter()
    futures = [pool.submit(train, ALL[task], rate, seed) for task, rate, seed in missing]
    losses |= {training: future.result() for training, future in zip(missing, futures, strict=True)}
    show(f"{len(missing)} trainings: {time.perf_counter() - started:.0f} s")


def grid(losses: Losses, task: str, seeds: Sequence[int]) -> dict[float, float]:
    """Average the losses of a task over the seeds, by rate."""
    return {rate: statistics.mean(losses[task, rate, seed] for seed in seeds) for rate in ALL[task].rates}


def outcome(losses: Losses, task: str, rates: Sequence[float | None], seeds: Sequence[int]) -> Outcome:
    """Weigh a rule's suggestions for a task.

    Args:
        losses: of all trainings, those at the suggestions included.
        task: its name.
        rates: the suggestion for each search seed, or None.
        seeds: the seeds whose suggestions were trained.
    """
    at_seeds = [(rates[seed], seed) for seed in seeds]
    reached = [ALL[task].data.baseline if rate is None else losses[task, rate, seed] for rate, seed in at_seeds]
    regret = statistics.mean(reached) / min(grid(losses, task, seeds).values()) - 1
    given = [rate for rate in rates if rate is not None]
    return Outcome(regret, max(given) / min(given) if len(given) > 1 else None, len(rates) - len(given), given)


def compare_finders(
    pool: Executor, tasks: Sequence[str], seeds: Sequence[int], num_searches: int
) -> tuple[Outcomes, Grids]:
    """Train the grids, search with each finder, and train at its suggestions."""
    losses: Losses = {}
    run_trainings(pool, ((task, rate, seed) for task in tasks for rate in ALL[task].rates for seed in seeds), losses)
    suggestions = search_all(pool, tasks, num_searches)
    found = [(t, rates[s], s) for of_tasks in suggestions.values() for t, rates in of_tasks.items() for s in seeds]
    run_trainings(pool, [(task, rate, seed) for task, rate, seed in found if rate is not None], losses)
    outcomes = {
        rule: {task: outcome(losses, task, rates, seeds) for task, rates in of_tasks.items()}
        for rule, of_tasks in suggestions.items()
    }
    return outcomes, {task: grid(losses, task, seeds) for task in tasks}
