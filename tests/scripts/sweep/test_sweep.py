"""scripts.sweep with real trials: scores, early stops, failures, and a kill from which it goes on."""

import csv
import os
import re
import signal
import subprocess
import sys
import time

import optuna
import pytest
import yaml
from optuna.trial import TrialState
from PIL import Image

from scripts.sweep.file import read_sweep
from scripts.sweep.report import importances
from scripts.sweep.trial import hold, read_scores
from scripts.sweep.trials import Trials
from src.core.errors import ConfigError
from tests.support.programs import ENVIRONMENT, ROOT, program

TINY = [
    "experiment=digits",
    "callbacks=default",
    "model.net.widths=[5]",
    "datamodule.batch_size=400",
    "trainer.precision=32-true",
    "trainer.accelerator=cpu",
]


def written(folder, name="tiny", **changes):
    """A sweep file over digits."""
    config = {
        "method": "random",
        "metric": {"name": "val/loss", "goal": "minimize"},
        "parameters": {"model.lr": {"distribution": "log_uniform_values", "min": 0.001, "max": 0.1}},
        "command": ["${env}", "${interpreter}", "${program}", *TINY, "${args_no_hyphens}"],
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(config | changes))
    return path


def trials_of(folder, storage=None):
    address = storage or optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(folder / "optuna.journal"))
    )
    return optuna.load_study(study_name=folder.name, storage=address).trials


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """Three numbers of epochs, on SQLite: 1 is scored first (the seed says so), 1000 stopped, -7 an error."""
    cwd = tmp_path_factory.mktemp("grid")
    path = written(
        cwd,
        "epochs",
        method="grid",
        parameters={"trainer.max_epochs": {"values": [1, 1000, -7]}, "model.lr": {"value": 0.01}},
        early_terminate={"type": "hyperband", "min_iter": 1, "eta": 3},
    )
    options = ["--storage", f"sqlite:///{cwd}/sweep.db", "--seed", 1]
    finished = program("scripts.sweep", path, *options, cwd=cwd, COLUMNS="80")
    assert finished.returncode == 0, finished.stderr
    return cwd / "runs" / "sweeps" / "epochs", finished.stdout, trials_of(cwd / "epochs", f"sqlite:///{cwd}/sweep.db")


def by_epochs(grid):
    return {trial.params["trainer.max_epochs"]: trial for trial in grid[2]}


@pytest.mark.long
def test_each_point_of_a_grid_is_tried_once(grid):
    assert sorted(trial.params["trainer.max_epochs"] for trial in grid[2]) == [-7, 1, 1000]


@pytest.mark.long
def test_a_trial_s_score_is_the_best_of_its_validations(grid):
    trial = by_epochs(grid)[1]
    with (grid[0] / str(trial.number) / "metrics.csv").open() as file:
        losses = [float(row["val/loss"]) for row in csv.DictReader(file) if row["val/loss"]]
    assert trial.state == TrialState.COMPLETE
    assert trial.value == min(losses)


@pytest.mark.long
def test_a_trial_that_lags_behind_is_stopped(grid):
    trial = by_epochs(grid)[1000]
    assert trial.state == TrialState.PRUNED
    assert trial.intermediate_values[1] > by_epochs(grid)[1].value
    assert (grid[0] / str(trial.number) / "checkpoints" / "last.ckpt").is_file()


@pytest.mark.long
def test_a_failing_trial_is_recorded_with_its_error_and_the_sweep_goes_on(grid):
    trial = by_epochs(grid)[-7]
    assert trial.state == TrialState.FAIL
    assert "-7" in trial.user_attrs["error"]


@pytest.mark.long
def test_the_table_shows_each_trial_in_80_columns(grid):
    lines = [line for line in grid[1].splitlines() if "│" in line]
    assert [len(lines), max(map(len, lines)) <= 80] == [3, True]
    best, stopped, failed = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]
    assert best[1:3] == ["1", f"{by_epochs(grid)[1].value:.4g}"]
    assert stopped[1] == "1000"
    assert stopped[2].endswith("(stopped)")
    assert failed[1:3] == ["-7", "failed"]


@pytest.mark.long
def test_the_best_config_is_an_experiment(grid):
    folder = grid[0]
    composed = program("train.py", "--config-dir", folder, "experiment=epochs_best", "--cfg", "job", cwd=folder)
    assert composed.returncode == 0, composed.stderr
    config = yaml.safe_load(composed.stdout)
    assert config["trainer"]["max_epochs"] == 1
    assert config["model"]["lr"] == 0.01
    assert config["model"]["net"]["widths"] == [5]
    assert "first_batch" not in config["callbacks"]  # callbacks=default, a choice of a group
    assert config["run_dir"] != str(folder / "0")


@pytest.mark.long
def test_the_best_experiment_opens_with_its_score(grid):
    text = (grid[0] / "experiment" / "epochs_best.yaml").read_text()
    assert text.startswith("# @package _global_\n")
    assert re.search(rf"^# The best of 3 trials .* val/loss {by_epochs(grid)[1].value:.4g}\.$", text, re.MULTILINE)


@pytest.mark.long
def test_the_history_is_drawn(grid):
    with Image.open(grid[0] / "history.png") as image:
        assert image.size == (800, 450)


def start(cwd, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "scripts.sweep", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **ENVIRONMENT, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition, process):
    while not condition():
        assert process.poll() is None
        time.sleep(0.05)


def wait_for_lock(path):
    while (lock := hold(path)) is None:
        time.sleep(0.05)
    os.close(lock)


@pytest.mark.long
def test_a_sweep_that_was_interrupted_and_killed_ends_with_each_trial_counted_once(tmp_path):
    go = tmp_path / "go"
    pause = ["+callbacks.pause._target_=tests.support.callbacks.paused.Paused", f"+callbacks.pause.until={go}"]
    command = [written(tmp_path, "killed"), "--trials", 2, "--workers", 2, "trainer.max_epochs=3", *pause]
    folder = tmp_path / "runs" / "sweeps" / "killed"

    interrupted = start(tmp_path, *command)
    wait_for(lambda: all((folder / number / "output.txt").is_file() for number in "01"), interrupted)
    interrupted.send_signal(signal.SIGINT)
    _, words = interrupted.communicate()
    assert interrupted.returncode == 130
    assert f"Go on: python -m scripts.sweep {tmp_path}/killed.yaml --trials 2 --workers 2 trainer.max_epochs=3" in words

    killed = start(tmp_path, *command)
    wait_for(lambda: all((folder / number / "checkpoints" / "last.ckpt").is_file() for number in "01"), killed)
    killed.kill()
    killed.communicate()
    go.touch()
    for number in "01":
        wait_for_lock(folder / f".{number}.lock")
        assert not (folder / number / "finished").exists()  # the training has ended with the sweep
    stopped = trials_of(folder)
    assert [trial.state for trial in stopped] == [TrialState.RUNNING] * 2

    two = [start(tmp_path, *command, "--workers", 1) for _ in range(2)]
    for process in two:
        _, words = process.communicate()
        assert process.returncode == 0, words
    trials = trials_of(folder)
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 2
    assert [trial.params for trial in trials] == [trial.params for trial in stopped]
    for trial in trials:
        scores = read_scores(folder / str(trial.number) / "metrics.csv", "val/loss")
        assert len(scores) == 3
        assert list(trial.intermediate_values.values()) == scores


def drawn(folder, path, numbers):
    """The rates that the trials of these numbers get, each from a process that has just begun."""
    rates = []
    for number in numbers:
        trials = Trials(read_sweep(path, []), folder, None, total=9, seed=3)
        rates.append(trials._study_to_ask(number).ask().suggest_float("model.lr", 0.001, 0.1, log=True))
    return rates


def test_draws_go_on_and_do_not_begin_anew_with_a_process(tmp_path):
    path = written(tmp_path)
    first = drawn(tmp_path / "a", path, [0, 1, 2])
    assert len(set(first)) == 3
    assert drawn(tmp_path / "b", path, [0, 1, 2]) == first


def test_a_sweep_whose_file_has_changed_is_refused(tmp_path):
    drawn(tmp_path / "a", written(tmp_path), [0])
    with pytest.raises(ConfigError, match="a holds a sweep with another parameters: give --folder NEW, or what it had"):
        drawn(tmp_path / "a", written(tmp_path, parameters={"model.lr": {"value": 1.0}}), [1])


def test_a_lock_is_held_by_one_at_a_time(tmp_path):
    held = hold(tmp_path / "lock")
    assert hold(tmp_path / "lock") is None
    os.close(held)
    assert hold(tmp_path / "lock") is not None


def test_a_line_that_is_being_written_has_no_score_yet(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("step,train/loss,val/loss\n3,0.5,\n3,,0.25\n6,,0.1")
    assert read_scores(path, "val/loss") == [0.25]


def test_the_parameter_that_makes_the_score_has_the_greater_importance(tmp_path):
    both = {name: {"min": 0.0, "max": 1.0} for name in ("model.lr", "model.label_smoothing")}
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
    study.optimize(
        lambda trial: (
            (trial.suggest_float("model.lr", 0, 1) - 0.3) ** 2
            + 0.01 * trial.suggest_float("model.label_smoothing", 0, 1)
        ),
        n_trials=40,
    )
    shares = importances(study, read_sweep(written(tmp_path, parameters=both), []))
    assert shares["model.lr"] > 3 * shares["model.label_smoothing"]
