"""Who gets which trial, and how trials end, over a train.py that only writes scores."""

import os
import signal
import sys
import threading
from types import SimpleNamespace

import optuna
import pytest
import yaml
from optuna.trial import TrialState

from scripts.sweep import __main__ as program
from scripts.sweep.__main__ import Trials, run_trials
from scripts.sweep.file import read_sweep
from scripts.sweep.report import _rank
from src.core.errors import ConfigError

# Writes the scores of its trial, waits for the folder's file `go` as if in its test, and ends well.
TRAIN = """
import pathlib, sys, time
run_dir = pathlib.Path(next(a for a in sys.argv if a.startswith("run_dir=")).removeprefix("run_dir="))
scores = {scores}[int(run_dir.name)]
(run_dir / "metrics.csv").write_text("val/loss\\n" + "".join(f"{{score}}\\n" for score in scores))
for _ in range(100 if len(scores) > 2 else 0):
    time.sleep(0.01)
(run_dir / "finished").touch()
"""
NEVER = SimpleNamespace(number=None)


@pytest.fixture
def trials(tmp_path, monkeypatch):
    """Makes the trials of a small sweep whose train.py gets these scores, by number."""

    def make(scores=(), *, total=2, folder=None, **changes):
        monkeypatch.setattr("scripts.sweep.trial.ROOT", tmp_path)
        (tmp_path / "train.py").write_text(TRAIN.format(scores=list(scores)))
        config = {
            "method": "random",
            "metric": {"name": "val/loss", "goal": "minimize"},
            "parameters": {"model.lr": {"min": 0.1, "max": 1.0}},
            "command": ["experiment=digits", "${args_no_hyphens}"],
        }
        path = tmp_path / "small.yaml"
        path.write_text(yaml.safe_dump(config | changes))
        return Trials(read_sweep(path, []), folder or tmp_path / "sweep", None, total=total, seed=0)

    return make


def states(trials):
    return [trial.state for trial in trials.study.trials]


SCORES = [[0.5, 0.1, 0.1, 0.1], [0.4, 0.05, 0.3, 0.9]]  # the second is better after two, worse after four


@pytest.mark.parametrize(
    ("early_terminate", "state", "value"),
    [
        ({"type": "hyperband", "max_iter": 4, "s": 1, "eta": 2}, TrialState.COMPLETE, 0.05),
        ({"type": "hyperband", "min_iter": 2, "eta": 2}, TrialState.PRUNED, 0.9),
    ],
)
def test_after_the_last_stop_a_trial_runs_to_its_end_and_keeps_its_best_score(early_terminate, state, value, trials):
    small = trials(SCORES, early_terminate=early_terminate)
    run_trials(small, 1, NEVER)
    assert states(small) == [TrialState.COMPLETE, state]
    assert small.study.trials[1].value == value
    assert small.study.trials[1].user_attrs.get("pruned", False) is (state == TrialState.PRUNED)


class StoppedOnce:
    """A signal that comes when a trial has been told to stop, and before it has ended."""

    def __init__(self, trials):
        self.trials = trials

    @property
    def number(self):
        return any(trial.user_attrs.get("pruned") for trial in self.trials.study.trials) and signal.SIGTERM


def test_a_trial_stopped_early_stays_so_if_the_sweep_is_stopped_then(trials):
    small = trials(SCORES, early_terminate={"type": "hyperband", "min_iter": 2, "eta": 2})
    run_trials(small, 1, StoppedOnce(small))
    assert states(small) == [TrialState.COMPLETE, TrialState.PRUNED]


def test_a_trial_stopped_early_stays_so_if_the_sweep_is_killed_then(trials):
    small = trials(total=1)
    trial = small.study.ask()
    trial.report(0.5, 1)
    trial.set_user_attr("pruned", True)
    assert small.claim() is None
    assert states(small) == [TrialState.PRUNED]


def test_a_folder_of_another_sweep_is_not_taken_over(trials, tmp_path):
    (tmp_path / "sweep" / "0").mkdir(parents=True)
    (tmp_path / "sweep" / "0" / "finished").touch()
    small = trials(SCORES)
    with pytest.raises(ConfigError, match="sweep/0 is of another sweep: give --folder NEW, or delete it"):
        small.claim()
    assert states(small) == []


def test_a_metric_that_a_whole_training_has_not_ends_the_sweep(trials):
    small = trials([[0.5], [0.5]], metric={"name": "val/los", "goal": "minimize"})
    with pytest.raises(ConfigError, match=r"metrics.csv has no finite val/los; it has val/loss; the sweep is stopped"):
        run_trials(small, 1, NEVER)
    assert states(small) == [TrialState.FAIL]


def test_a_score_that_is_not_finite_fails_one_trial(trials):
    small = trials([["nan"], [0.5]])
    run_trials(small, 1, NEVER)
    assert states(small) == [TrialState.FAIL, TrialState.COMPLETE]


@pytest.mark.parametrize(("scores", "status"), [([["nan"]], 1), ([[0.5]], 0)])
def test_the_exit_status_says_whether_there_is_a_score(scores, status, trials, tmp_path, monkeypatch):
    trials(scores)
    monkeypatch.setattr(program, "StopSignal", lambda: NEVER)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    arguments = [tmp_path / "small.yaml", "--trials", 1, "--folder", tmp_path / "sweep"]
    monkeypatch.setattr(sys, "argv", ["sweep", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code == status


def test_several_that_claim_at_one_time_get_a_trial_each(trials, tmp_path, monkeypatch):
    monkeypatch.setattr(program, "TrialProcess", lambda trial, **facts: SimpleNamespace(trial=trial, **facts))
    sharing, numbers = [trials(total=9) for _ in range(4)], []

    def claim_all(own):
        while process := own.claim():
            numbers.append((process.trial.number, process.lock))

    threads = [threading.Thread(target=claim_all, args=(own,)) for own in sharing]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _, lock in numbers:
        os.close(lock)
    assert sorted(number for number, _ in numbers) == list(range(9))


@pytest.mark.parametrize("goal", ["minimize", "maximize"])
def test_a_trial_without_a_score_is_ranked_behind_its_like(goal):
    empty = optuna.trial.create_trial(state=TrialState.PRUNED)
    scored = optuna.trial.create_trial(state=TrialState.PRUNED, intermediate_values={1: 0.5}, value=0.5)
    assert sorted([empty, scored], key=lambda trial: _rank(trial, goal)) == [scored, empty]
