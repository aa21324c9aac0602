"""What invented runs have left in their folders."""

import pytest

from src.core.errors import ConfigError
from src.report.compare.run import runs_in
from tests.support.made_runs import made


def test_runs_are_found_once_below_folders_and_in_order(tmp_path):
    for number in (10, 9):
        made(tmp_path / "multirun" / str(number), 0.5, lr=number)
    made(tmp_path / "multirun" / "9" / "wandb" / "copy")  # belongs to that run
    (tmp_path / "multirun" / "config.yaml").write_text("wandb_version: 1\n")  # not of train.py
    (tmp_path / "multirun.csv").touch()
    runs = runs_in([str(tmp_path / "multirun.csv"), str(tmp_path), str(tmp_path / "multirun" / "10")])
    assert [run.name for run in runs] == ["9", "10"]


def test_a_folder_that_is_missing_or_holds_no_run_is_named(tmp_path):
    made(tmp_path / "run")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"^there is no folder \S+/nowhere$"):
        runs_in([str(tmp_path / "run"), str(tmp_path / "nowhere")])
    with pytest.raises(
        ConfigError, match=r"^\S+/empty holds no run: neither it nor a folder below it has a run's config.yaml$"
    ):
        runs_in([str(tmp_path / "run"), str(tmp_path / "empty")])


def test_a_config_that_is_no_yaml_is_named(tmp_path):
    (made(tmp_path / "run") / "config.yaml").write_text("scoring: [")
    with pytest.raises(ConfigError, match=r"^\S+/run/config.yaml is not YAML: while parsing.*$"):
        runs_in([str(tmp_path)])


def test_a_resumed_run_counts_by_what_it_logged_last(tmp_path):
    folder = made(tmp_path / "run")
    (folder / "metrics.csv").write_text("step,train/loss\n9,2.0\n19,inf\n9,3.0\n")
    [run] = runs_in([str(folder)])
    assert run.curves(["train/loss", "val/loss"])["train/loss"].to_dict() == {9: 3.0}


def test_a_run_that_has_logged_nothing_has_no_curves(tmp_path):
    folder = made(tmp_path / "run")
    (folder / "metrics.csv").write_text("")
    assert runs_in([str(folder)])[0].curves(["train/loss"]) == {}
