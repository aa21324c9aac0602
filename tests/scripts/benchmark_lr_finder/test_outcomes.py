"""What suggestions cost, on made-up losses."""

from concurrent.futures import Future

import pytest

from scripts.benchmark_lr_finder import outcomes
from scripts.benchmark_lr_finder.outcomes import Outcome, compare_finders, grid, outcome, run_trainings
from scripts.benchmark_lr_finder.tasks import ALL

TASK = "digits cnn adamw 1cycle"
BASELINE = ALL[TASK].data.baseline


@pytest.fixture
def losses():
    """Losses of 1, 2, ... along the grid with seed 0, and 3 more with seed 1."""
    rates = ALL[TASK].rates
    return {(TASK, rate, seed): place + 3.0 * seed for seed in (0, 1) for place, rate in enumerate(rates, 1)}


def test_the_grid_has_the_mean_over_the_seeds(losses):
    assert list(grid(losses, TASK, [0, 1]).values())[:2] == [2.5, 3.5]


def test_regret_is_relative_to_the_lowest_mean_of_the_grid(losses):
    losses |= {(TASK, 0.5, 0): 3.0, (TASK, 0.1, 1): 4.0}
    found = outcome(losses, TASK, [0.5, 0.1, 0.2], [0, 1])
    assert found == Outcome(
        regret=pytest.approx(3.5 / 2.5 - 1), spread=pytest.approx(5), failed=0, rates=[0.5, 0.1, 0.2]
    )


def test_a_search_without_a_rate_costs_what_a_net_costs_that_knows_nothing(losses):
    losses[TASK, 0.5, 1] = 4.0
    found = outcome(losses, TASK, [None, 0.5], [0, 1])
    assert found == Outcome(pytest.approx((BASELINE + 4.0) / 2 / 2.5 - 1), spread=None, failed=1, rates=[0.5])


class PoolHere:
    """An executor that works at once."""

    def submit(self, function, *arguments):
        future = Future()
        future.set_result(function(*arguments))
        return future


@pytest.fixture
def trained(monkeypatch):
    """The trainings that were run; each has its rate as its loss."""
    found = []

    def train(task, rate, seed):
        found.append((task.name, rate, seed))
        return rate

    monkeypatch.setattr(outcomes, "train", train)
    return found


def test_each_training_runs_once(trained, capsys):
    losses = {(TASK, 0.1, 0): 7.0}
    run_trainings(PoolHere(), [(TASK, 0.1, 0), (TASK, 0.2, 0), (TASK, 0.2, 0)], losses)
    assert trained == [(TASK, 0.2, 0)]
    assert losses == {(TASK, 0.1, 0): 7.0, (TASK, 0.2, 0): 0.2}
    assert capsys.readouterr().out.startswith("1 trainings: ")


def test_finders_are_judged_by_trainings_at_their_suggestions(trained, monkeypatch):
    lowest = ALL[TASK].rates[0]
    monkeypatch.setattr(outcomes, "search_all", lambda pool, tasks, count: {"ours": {TASK: [lowest, 2 * lowest, None]}})
    found, grids = compare_finders(PoolHere(), [TASK], [0, 1], 3)
    assert found["ours"][TASK] == Outcome(pytest.approx(0.5), spread=2.0, failed=1, rates=[lowest, 2 * lowest])
    assert grids == {TASK: {rate: rate for rate in ALL[TASK].rates}}
    assert len(trained) == 2 * 13 + 1  # the suggestion for seed 0 is of the grid
