"""A training whose disk is full."""

import re

from tests.support.callbacks.full_disk import FullDisk
from tests.support.programs import SMALL, checkpoint_of, composed, program, run_here, started

FILL = f"+callbacks.full._target_={FullDisk.__module__}.FullDisk"
WITH_ALL = ("callbacks=images", *(choice for choice in SMALL if not choice.startswith(("callbacks=", "~"))))


def test_a_training_goes_on_when_its_disk_is_full_and_tells_each_file_once(disk_of, capsys, tmp_path):
    disk = disk_of("3m")
    choices = [*WITH_ALL, "trainer.on_save_error=continue", f"cache_dir={tmp_path}"]
    result = run_here(
        composed(*choices, FILL, f"+callbacks.full.folder={disk}", "+callbacks.full.step=8", f"run_dir={disk}/run")
    )
    assert result.scores["test/accuracy"] > 0
    assert checkpoint_of(disk / "run")["global_step"] == 6
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning: cannot save")]
    names = [re.search(r"cannot save (?:\S*/)?([^:]+): No space left on device", line).group(1) for line in lines]
    rest = [name for name in names if not name.endswith(".ckpt")]
    assert sorted(rest) == sorted(set(rest))
    assert {"metrics.csv", "metrics.json", "report.html", "confusion_matrix.png"} <= set(rest)


def test_a_training_goes_on_when_its_output_is_on_the_full_disk_too(disk_of, tmp_path):
    disk = disk_of("3m")
    full = [FILL, f"+callbacks.full.folder={disk}", "+callbacks.full.step=8", f"run_dir={disk}/run"]
    choices = [*SMALL, *full, "logger=[csv,wandb]", "trainer.on_save_error=continue"]
    with (disk / "out.txt").open("w") as stdout, (disk / "err.txt").open("w") as stderr:
        process = started("train.py", *choices, cwd=tmp_path, stdout=stdout, stderr=stderr)
        assert process.wait(240) == 0


def test_tensorboard_s_log_ends_on_a_full_disk_and_the_training_does_not(disk_of, tmp_path):
    disk = disk_of("3m")
    full = [FILL, f"+callbacks.full.folder={disk}", "+callbacks.full.step=8", f"run_dir={disk}/run"]
    choices = [*SMALL, *full, "logger=[csv,tensorboard]", f"cache_dir={tmp_path}"]
    ended = program("train.py", *choices, "trainer.on_save_error=continue", cwd=tmp_path)
    assert ended.returncode == 0
    assert ended.stderr.count(f"warning: cannot save {disk}/run/tensorboard/: No space left on device") == 1
    assert "Traceback" not in ended.stderr


def test_a_training_that_is_to_stop_ends_in_one_line(disk_of, tmp_path):
    disk = disk_of("3m")
    full = [FILL, f"+callbacks.full.folder={disk}", "+callbacks.full.step=8", f"run_dir={disk}/run"]
    ended = program("train.py", *SMALL, *full, f"cache_dir={tmp_path}", cwd=tmp_path)
    assert ended.returncode == 1
    assert re.fullmatch(rf"error: cannot save {disk}/run/\S+: No space left on device.*\n", ended.stderr)
