import re

import pytest

from src.core.errors import ConfigError
from tests.support.callbacks.signal_at import signal_at
from tests.support.callbacks.stop_at import Stopped
from tests.support.programs import SMALL, checkpoint_of, metrics_of, program, same, table_of, train_here

ACCUMULATION = "trainer.accumulate_grad_batches=4"  # six batches: a step of four and a step of two
VALIDATION_IN_MID_EPOCH = "trainer.val_check_interval=3"


def stop(run_dir, step, saves, *overrides):
    """Train until step; leave the checkpoint of that step if `saves`, else that of the last validation."""
    path = f"{run_dir}/checkpoints/last.ckpt" if saves else "null"
    with pytest.raises(Stopped):
        train_here(
            run_dir,
            "+callbacks.stop._target_=tests.support.callbacks.stop_at.StopAt",
            f"+callbacks.stop.step={step}",
            f"+callbacks.stop.path={path}",
            *overrides,
        )


@pytest.mark.parametrize(
    ("step", "saves", "overrides"),
    [
        pytest.param(9, True, [], id="in mid-epoch"),
        pytest.param(8, False, [], id="two steps after the checkpoint of an epoch's end"),
        pytest.param(3, True, [ACCUMULATION], id="between two accumulated steps"),
        pytest.param(10, False, [VALIDATION_IN_MID_EPOCH], id="after a validation in mid-epoch"),
        pytest.param(9, True, ["trainer.max_steps=14"], id="in mid-epoch, with max_steps"),
        pytest.param(8, False, ["trainer.max_steps=14"], id="two steps after an epoch's end, with max_steps"),
        pytest.param(9, True, ["+trainer.reload_dataloaders_every_n_epochs=1"], id="in mid-epoch, with new loaders"),
    ],
)
def test_a_stopped_run_ends_like_an_uninterrupted_one(tmp_path, step, saves, overrides):
    whole = train_here(tmp_path / "whole", *overrides)
    stop(tmp_path / "stopped", step, saves, *overrides)
    stopped = train_here(tmp_path / "stopped", "resume=true", *overrides)
    a, b = checkpoint_of(whole), checkpoint_of(stopped)
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "loops", "epoch", "global_step"):
        assert same(a[part], b[part]), part
    assert same(a["callbacks"]["RandomState"], b["callbacks"]["RandomState"])
    assert table_of(whole) == table_of(stopped)


def damage(path):
    """Flip one bit in the midst of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_run_whose_last_checkpoint_is_damaged_goes_on_from_the_next_one(tmp_path, capsys):
    whole = train_here(tmp_path / "whole")
    stop(tmp_path / "stopped", 9, True)
    damage(tmp_path / "stopped" / "checkpoints" / "last.ckpt")
    stopped = train_here(tmp_path / "stopped", "resume=true")
    note = r"note: resumed from \S+/best.ckpt, since last.ckpt is damaged \(the checksum of \S+ does not match\)\n"
    assert re.search(note, capsys.readouterr().err)
    assert same(checkpoint_of(whole)["state_dict"], checkpoint_of(stopped)["state_dict"])
    assert table_of(whole) == table_of(stopped)


def test_a_run_without_a_whole_checkpoint_is_not_begun_anew_in_silence(tmp_path):
    stop(tmp_path, 9, True)
    for name in ("last", "best"):
        damage(tmp_path / "checkpoints" / f"{name}.ckpt")
    with pytest.raises(
        ConfigError, match=r"no checkpoint to resume from in \S+: last.ckpt is damaged .*, best.ckpt is"
    ):
        train_here(tmp_path, "resume=auto")


def test_a_run_dir_that_has_moved_keeps_its_best_checkpoint(tmp_path):
    first_is_best = ["scoring.monitor=val/loss", "scoring.mode=max"]
    stop(tmp_path / "before", 9, True, *first_is_best)
    (tmp_path / "before").rename(tmp_path / "after")
    train_here(tmp_path / "after", "resume=true", *first_is_best)
    assert checkpoint_of(tmp_path / "after", "best")["epoch"] == 0


def test_resume_auto_begins_a_run_and_continues_it(tmp_path):
    whole = train_here(tmp_path / "whole")
    stop(tmp_path / "stopped", 9, True, "resume=auto")
    stopped = train_here(tmp_path / "stopped", "resume=auto")
    assert same(checkpoint_of(whole)["state_dict"], checkpoint_of(stopped)["state_dict"])
    assert table_of(whole) == table_of(stopped)


def test_the_totals_of_a_resumed_run_hold_the_stopped_part(tmp_path):
    stop(tmp_path, 9, True)
    before = checkpoint_of(tmp_path)["callbacks"]["RunMetrics"]
    train_here(tmp_path, "resume=true")
    metrics = metrics_of(tmp_path)
    assert before["samples"] == 9 * 200
    rows = metrics["train/samples_per_second"] * metrics["time/train_s"]
    assert rows == pytest.approx(3 * 6 * 200)
    assert metrics["time/fit_s"] > before["fit_s"]


def test_a_resumed_run_keeps_the_numbers_that_it_does_not_replace(tmp_path):
    stop(tmp_path, 9, True)
    (tmp_path / "metrics.json").write_text('{"test/own": 3.0, "val/loss": 9.0}')
    train_here(tmp_path, "resume=true")
    metrics = metrics_of(tmp_path)
    assert metrics["test/own"] == 3.0
    assert metrics["val/loss"] < 9.0


def test_a_resumed_run_names_the_keys_that_changed(tmp_path, capsys):
    train_here(tmp_path, "model/scheduler=constant", "trainer.max_epochs=1")
    train_here(tmp_path, "resume=true", "model/scheduler=constant", "trainer.max_epochs=2", "+trainer.min_epochs=1")
    note = "note: resumed with other values than before: trainer.max_epochs, trainer.min_epochs\n"
    assert capsys.readouterr().err == note


def test_a_resumed_run_on_the_same_config_says_nothing(tmp_path, capsys):
    train_here(tmp_path)
    train_here(tmp_path, "resume=true")
    assert "note" not in capsys.readouterr().err


def test_a_killed_process_resumes_to_the_same_end(tmp_path):
    whole, killed = train_here(tmp_path / "whole"), tmp_path / "killed"
    kill = signal_at(hook="on_train_batch_start", step=8, signum=9)
    assert program("train.py", *SMALL, *kill, f"run_dir={killed}", cwd=tmp_path).returncode == -9
    resumed = program("train.py", *SMALL, f"run_dir={killed}", "resume=true", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert same(checkpoint_of(killed)["state_dict"], checkpoint_of(whole)["state_dict"])
    assert table_of(killed) == table_of(whole)
