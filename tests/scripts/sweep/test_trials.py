"""Which process gets which trial, and how trials end, with a train.py that only writes scores."""

import os
import signal
import threading
import time
from types import SimpleNamespace

import optuna
import pytest
import yaml
from optuna.trial import TrialState

from scripts.sweep import __main__ as program
from scripts.sweep import running
from scripts.sweep import trials as trials_module
from scripts.sweep.file import read_sweep
from scripts.sweep.report import _rank, _short_names
from scripts.sweep.running import StopSignal, run_trials
from scripts.sweep.trial import hold
from scripts.sweep.trials import Trials
from src.core.errors import ConfigError

# Writes the scores of its trial, waits for the file `go` of its folder if it has more than two, and ends well.
TRAIN = """
import pathlib, sys, time
run_dir = pathlib.Path(next(a for a in sys.argv if a.startswith("run_dir=")).removeprefix("run_dir="))
scores = {scores}[int(run_dir.name)]
(run_dir / "metrics.tmp").write_text("val/loss\\n" + "".join(f"{{score}}\\n" for score in scores))
(run_dir / "metrics.tmp").rename(run_dir / "metrics.csv")
while len(scores) > 2 and not (run_dir / "go").exists():
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


def in_step(trials):
    """How a sweep waits here: first for a trial's scores, then, after it has read them, for the trial's end."""
    read = set()

    def wait():
        for trial in trials.study.get_trials(states=(TrialState.RUNNING,)):
            run_dir = trials.folder / str(trial.number)
            while not (run_dir / "metrics.csv").exists():
                time.sleep(0.01)
            if run_dir in read:
                (run_dir / "go").touch()
            read.add(run_dir)

    return wait


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
    run_trials(small, 1, NEVER, wait=in_step(small))
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
    run_trials(small, 1, StoppedOnce(small), wait=in_step(small))
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
    with pytest.raises(ConfigError, match="sweep/0 belongs to another sweep: give --folder NEW, or delete it"):
        small.claim()
    assert states(small) == []


def test_a_metric_that_a_complete_training_lacks_ends_the_sweep(trials):
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
    with pytest.raises(SystemExit) as ended:
        program.main([*map(str, arguments)])
    assert ended.value.code == status


def test_several_that_claim_at_one_time_get_a_trial_each(trials, tmp_path, monkeypatch):
    monkeypatch.setattr(
        trials_module, "TrialProcess", lambda trial, sweep, **choices: SimpleNamespace(trial=trial, **choices)
    )
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
def test_of_trials_that_ended_alike_one_without_a_score_comes_last(goal):
    empty = optuna.trial.create_trial(state=TrialState.PRUNED)
    scored = optuna.trial.create_trial(state=TrialState.PRUNED, intermediate_values={1: 0.5}, value=0.5)
    assert sorted([empty, scored], key=lambda trial: _rank(trial, goal)) == [scored, empty]


def test_short_names_of_keys_are_their_last_parts_where_these_differ():
    names = _short_names(["model.lr", "model.net.dropout", "model.head.dropout"])
    assert list(names.values()) == ["lr", "model.net.dropout", "model.head.dropout"]


def test_the_total_is_what_was_asked_for_or_the_files_cap_or_twenty(trials):
    totals = [trials(total=total, run_cap=cap).total for total, cap in ((5, 7), (None, 7), (None, None))]
    assert totals == [5, 7, 20]


def test_a_grid_ends_with_its_last_point(trials):
    values = {"model.lr": {"values": [0.1, 0.2, 0.3]}, "model.label_smoothing": {"values": [0.0, 0.1]}}
    grids = [trials(total=total, method="grid", parameters=values).total for total in (None, 4, 99)]
    assert grids == [6, 4, 6]


@pytest.mark.parametrize("changes", [{"--workers": 0}, {"--trials": -1}])
def test_numbers_below_one_are_refused(changes, trials, tmp_path, capsys):
    trials()
    with pytest.raises(SystemExit, match="2"):
        program.main([str(tmp_path / "small.yaml"), *(str(word) for pair in changes.items() for word in pair)])
    assert "--workers and --trials must be 1 or more" in capsys.readouterr().err


def test_a_stopped_sweep_says_how_to_go_on(trials, tmp_path, monkeypatch, capsys):
    trials()
    monkeypatch.setattr(program, "StopSignal", lambda: SimpleNamespace(number=15))
    arguments = [str(tmp_path / "small.yaml"), "--folder", str(tmp_path / "sweep")]
    with pytest.raises(SystemExit, match="143"):
        program.main(arguments)
    assert f"Go on: python -m scripts.sweep {' '.join(arguments)}\n" in capsys.readouterr().err


def test_a_stop_leaves_a_running_trial_to_be_continued(trials):
    small = trials([[0.5] * 3], total=1)
    stop = SimpleNamespace(number=None)
    run_trials(small, 1, stop, wait=lambda: setattr(stop, "number", signal.SIGTERM))
    assert states(small) == [TrialState.RUNNING]
    assert small.study.trials[0].user_attrs["seconds"] > 0
    assert hold(small._lock_of(0)) is None  # until this program ends


def test_the_first_signal_is_remembered_and_the_second_ends_the_program(monkeypatch):
    handlers, ended = {}, []
    monkeypatch.setattr(running.signal, "signal", handlers.__setitem__)
    monkeypatch.setattr(running.os, "_exit", ended.append)
    stop = StopSignal()
    handlers[signal.SIGINT](signal.SIGINT, None)
    assert (stop.number, ended) == (signal.SIGINT, [])
    handlers[signal.SIGTERM](signal.SIGTERM, None)
    assert ended == [128 + signal.SIGTERM]
