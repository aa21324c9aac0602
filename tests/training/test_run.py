"""One run in this process: what comes back, what it prints, where it starts."""

import json
import math

import pytest
import torch

from src.core import output
from src.core.errors import ConfigError
from src.training import checkpoint_io
from src.training.checkpoint import load_model
from src.training.run import fit
from tests.support.programs import SMALL, metrics_of, same, table_of, train_here

CONSTANT = "model/scheduler=constant"  # of any length
SHORT = [*SMALL, "trainer.max_epochs=1"]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    return fit([*SHORT, "quiet=true", f"run_dir={tmp_path_factory.mktemp('fitted')}/run"])


def test_fit_returns_what_metrics_json_holds(fitted):
    assert fitted.scores == metrics_of(fitted.run_dir.folder)
    assert {"test/accuracy", "val/loss", "time/fit_s"} <= fitted.scores.keys()
    assert all(type(value) in (float, int) for value in fitted.scores.values())


def test_fit_returns_the_tested_model_ready_to_predict(fitted):
    batch = torch.rand(3, 1, 8, 8)
    assert not fitted.model.training
    assert same(fitted.model(batch), load_model(fitted.run_dir.best_ckpt)(batch))


def test_fit_keeps_its_choices_without_the_place(fitted):
    assert json.loads(fitted.run_dir.overrides_json.read_text()) == [*SHORT, "quiet=true"]
    assert fitted.run_dir.finished.is_file()


def test_fit_refuses_what_train_py_refuses(fitted):
    with pytest.raises(ConfigError, match="holds a finished run"):
        fit([*SHORT, f"run_dir={fitted.run_dir.folder}"])
    with pytest.raises(ConfigError, match="seed must be int"):
        fit(["seed=1.5", "run_dir=new"])
    with pytest.raises(ConfigError, match="fit needs run_dir=PATH"):
        fit(SHORT)


def test_data_of_ones_own_take_the_place_of_the_configs(fitted, tmp_path):
    again = fit([*SHORT, "datamodule=mnist", f"run_dir={tmp_path}/run"], datamodule=fitted.datamodule)
    assert again.datamodule is fitted.datamodule
    assert again.scores["val/loss"] == fitted.scores["val/loss"]


def test_data_of_ones_own_are_scored_without_a_class_in_the_config(fitted, tmp_path, capsys):
    scored = ["datamodule=image_data", "task=test", f"checkpoint={fitted.run_dir.best_ckpt}"]
    again = fit([*SHORT, *scored, f"run_dir={tmp_path}/run"], datamodule=fitted.datamodule)
    assert again.scores["test/accuracy"] == fitted.scores["test/accuracy"]
    assert "does not say which rows" not in capsys.readouterr().err


def test_a_number_that_is_not_finite_is_nan(tmp_path):
    (tmp_path / "metrics.json").write_text('{"test/own": null}')
    checkpoint = fit([*SHORT, f"run_dir={tmp_path}/run"]).run_dir.last_ckpt
    scores = fit([*SHORT, "task=test", f"checkpoint={checkpoint}", f"run_dir={tmp_path}"]).scores
    assert math.isnan(scores["test/own"])


@pytest.mark.parametrize("quiet", [True, False])
def test_quiet_hides_the_scores_and_nothing_else(tmp_path, capsys, quiet):
    train_here(tmp_path, f"quiet={quiet}", "trainer.max_epochs=1")
    shown = capsys.readouterr()
    assert ("test/accuracy" in shown.out) is not quiet
    assert (shown.out == "") is quiet
    assert not output.is_quiet()


def test_a_process_that_is_quiet_stays_quiet(tmp_path, capsys):
    output.set_quiet(True)
    try:
        train_here(tmp_path, "trainer.max_epochs=1")
        assert output.is_quiet()
    finally:
        output.set_quiet(False)
    assert capsys.readouterr().out == ""


@pytest.fixture
def checksums(monkeypatch):
    """The checkpoints whose checksums are compared from now on."""
    from src.core import run_dir

    seen, damage_of = [], checkpoint_io.damage_of
    for module in (run_dir, checkpoint_io):
        monkeypatch.setattr(module, "damage_of", lambda path: (seen.append(str(path)), damage_of(path))[1])
    return seen


def test_checksums_are_compared_once_for_each_file_that_is_read(tmp_path, checksums):
    train_here(tmp_path, "trainer.max_epochs=1", CONSTANT)
    best, last = f"{tmp_path}/checkpoints/best.ckpt", f"{tmp_path}/checkpoints/last.ckpt"
    assert checksums == [best]
    train_here(tmp_path, "trainer.max_epochs=2", "resume=true", CONSTANT)
    assert checksums == [best, last, best]
    train_here(tmp_path / "next", "trainer.max_epochs=3", f"checkpoint={last}", CONSTANT)
    assert checksums == [best, last, best, last, f"{tmp_path}/next/checkpoints/best.ckpt"]


def test_scoring_does_not_resume(tmp_path, checksums):
    train_here(tmp_path, "trainer.max_epochs=1")
    checksums.clear()
    train_here(tmp_path, "task=test", "resume=auto", f"checkpoint={tmp_path}/checkpoints/best.ckpt")
    assert checksums == [f"{tmp_path}/checkpoints/best.ckpt"]


def test_resume_auto_starts_from_checkpoint_where_nothing_ran(tmp_path):
    first = train_here(tmp_path / "first", "trainer.max_epochs=1", CONSTANT)
    start = f"checkpoint={first}/checkpoints/last.ckpt"
    second = train_here(tmp_path / "second", "resume=auto", "trainer.max_epochs=2", start, CONSTANT)
    assert table_of(second)[0]["step"] == "6"  # six steps an epoch


def test_null_leaves_a_callback_or_a_logger_out(tmp_path):
    left_out = [f"{name}=null" for name in ("callbacks.best", "logger.csv")]
    run = fit([*SHORT, "logger=csv", *left_out, "quiet=true", f"run_dir={tmp_path}/run"])
    assert not run.run_dir.best_ckpt.is_file()
    assert run.run_dir.last_ckpt.is_file()
