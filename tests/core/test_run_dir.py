"""Who may write into a run_dir. A run is held here by a process that does nothing but hold."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from types import SimpleNamespace

import pytest

from src.core.errors import ConfigError
from src.core.files import removed_if_empty
from src.core.run_dir import RunDir, own_run_dir, show_results
from tests.support.programs import ROOT, program_without_torch

HOLD = """
import sys
import time
from types import SimpleNamespace
from src.core.run_dir import own_run_dir
with own_run_dir(SimpleNamespace(run_dir=sys.argv[1], task="fit", resume=False, overwrite=False, checkpoint=None)):
    print("held", flush=True)
    sys.stdin.read()
print("let go", flush=True)
time.sleep(60)
"""


def run(folder, **changes):
    start = {"task": "fit", "resume": False, "overwrite": False, "checkpoint": None}
    return own_run_dir(SimpleNamespace(run_dir=str(folder), **(start | changes)))


@contextmanager
def held(folder, script=HOLD, **environment):
    """Another process that holds `folder`, to be let go by closing its standard input."""
    command = [sys.executable, "-c", script, str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, text=True, **pipes) as process:
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def write(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_each_file_has_the_name_of_its_attribute(tmp_path):
    files = {name: path for name, path in vars(RunDir(tmp_path)).items() if "_" in name}
    assert len(files) == 15
    assert all(path.name == ".".join(name.rsplit("_", 1)) for name, path in files.items())
    assert {path.parent.name for path in (files.pop("best_ckpt"), files.pop("last_ckpt"))} == {"checkpoints"}
    assert {path.parent for path in files.values()} == {tmp_path}


def test_a_folder_without_files_has_no_numbers_and_is_repeated_from_its_config(tmp_path):
    run = RunDir(str(tmp_path))
    assert (run.metrics(), run.environment(), run.checkpoint_files()) == ({}, {}, [])
    assert run.command() == f"python train.py --config-path={tmp_path} --config-name=config run_dir=NEW"


def test_what_the_files_say_is_read(tmp_path):
    (tmp_path / "metrics.json").write_text('{"val/loss": null}')
    (tmp_path / "environment.json").write_text('{"commit": "65ffd38"}')
    (tmp_path / "overrides.json").write_text('["seed=1", "prompt=a b"]')
    run = RunDir(tmp_path)
    assert (run.metrics(), run.environment()) == ({"val/loss": None}, {"commit": "65ffd38"})
    assert run.command() == "python train.py seed=1 'prompt=a b'"


def test_the_last_checkpoint_comes_first_then_the_newest(tmp_path):
    write(tmp_path, *(f"checkpoints/{name}" for name in ("last.ckpt", "b.ckpt", "a.ckpt", ".c.ckpt", "d.txt")))
    for seconds, name in enumerate(("last.ckpt", "b.ckpt", "a.ckpt")):
        os.utime(tmp_path / "checkpoints" / name, (seconds, seconds))
    assert [path.name for path in RunDir(tmp_path).checkpoint_files()] == ["last.ckpt", "a.ckpt", "b.ckpt"]


def test_a_second_run_in_one_folder_is_told_who_is_there_and_leaves_it_alone(tmp_path):
    folder = tmp_path / "run"
    with held(folder) as other:
        before = sorted(os.listdir(folder))
        finished = program_without_torch("train.py", f"run_dir={folder}", "overwrite=true", cwd=tmp_path)
        assert sorted(os.listdir(folder)) == before
    host = os.uname().nodename
    expected = f"error: run_dir={folder} is in use by process {other.pid} on {host}: wait for it, or give another\n"
    assert (finished.returncode, finished.stderr) == (1, expected)


@pytest.mark.parametrize("task", ["test", "validate"])
def test_scoring_waits_for_the_training_too(tmp_path, task):
    with held(tmp_path), pytest.raises(ConfigError, match="is in use by process"), run(tmp_path, task=task):
        pass


def test_a_killed_run_holds_nothing(tmp_path):
    with held(tmp_path) as other:
        other.kill()
        other.wait()
        with run(tmp_path):
            pass


def test_a_job_of_a_multirun_gives_its_folder_back_while_the_process_lives(tmp_path):
    with held(tmp_path) as other:
        other.stdin.close()
        assert other.stdout.readline() == "let go\n"
        with run(tmp_path, resume=True):
            assert other.poll() is None


def test_a_forked_child_that_outlives_its_run_holds_nothing(tmp_path):
    fork = "    import os\n    if os.fork() == 0:\n        sys.stdin.read()\n        os._exit(0)\n    print("
    with held(tmp_path, HOLD.replace("    print(", fork, 1)) as other:
        other.send_signal(signal.SIGKILL)
        other.wait()
        with run(tmp_path):
            pass


@pytest.mark.parametrize("variable", ["LOCAL_RANK", "RANK", "SLURM_PROCID"])
def test_the_other_ranks_of_a_run_pass(tmp_path, monkeypatch, variable):
    monkeypatch.setenv(variable, "1")
    with held(tmp_path, **{variable: "0"}), run(tmp_path):
        pass
    assert not (tmp_path / "finished").exists()  # that rank 0 will say


def test_a_finished_run_is_marked(tmp_path):
    with run(tmp_path):
        assert not (tmp_path / "finished").exists()
    assert (tmp_path / "finished").is_file()


@pytest.mark.parametrize("error", [SystemExit(143), ValueError("no"), KeyboardInterrupt()])
def test_a_stopped_run_is_not_marked(tmp_path, error):
    with pytest.raises(type(error)), run(tmp_path):
        raise error
    assert not (tmp_path / "finished").exists()


def test_a_resumed_run_is_not_finished_before_its_end(tmp_path):
    write(tmp_path, "finished")
    with run(tmp_path, resume=True):
        assert not (tmp_path / "finished").exists()


@pytest.mark.parametrize(
    ("name", "state"), [("finished", "a finished run"), ("checkpoints/a.ckpt", "the checkpoints of a stopped run")]
)
def test_a_new_training_does_not_mix_with_an_older_one(tmp_path, name, state):
    write(tmp_path, name)
    with pytest.raises(ConfigError) as raised, run(tmp_path):
        pass
    assert str(raised.value) == (
        f"run_dir={tmp_path} holds {state}: continue it with resume=true, or clear it with overwrite=true"
    )
    assert (tmp_path / name).is_file()


@pytest.mark.parametrize("resume", [True, "auto"])
def test_a_resumed_training_finds_the_checkpoints(tmp_path, resume):
    write(tmp_path, "checkpoints/last.ckpt")
    with run(tmp_path, resume=resume):
        assert (tmp_path / "checkpoints" / "last.ckpt").is_file()


def test_a_training_that_continues_a_checkpoint_of_the_folder_finds_it(tmp_path):
    write(tmp_path, "checkpoints/best.ckpt")
    with run(tmp_path, checkpoint=str(tmp_path / "checkpoints" / "best.ckpt")):
        assert (tmp_path / "checkpoints" / "best.ckpt").is_file()


def test_what_failed_before_its_first_checkpoint_is_simply_begun_anew(tmp_path):
    write(tmp_path, "config.yaml", "metrics.csv")
    with run(tmp_path):
        pass


def test_overwriting_clears_what_would_mix_and_nothing_else(tmp_path):
    old = ("finished", "checkpoints/last.ckpt", "checkpoints/epoch=3.ckpt", "metrics.csv", "tensorboard/events")
    write(tmp_path, *old, "notes.txt")
    with run(tmp_path, overwrite=True):
        assert sorted(os.listdir(tmp_path)) == [".lock", "notes.txt"]


def test_scoring_a_finished_run_leaves_it_finished(tmp_path):
    write(tmp_path, "finished", "checkpoints/best.ckpt")
    with run(tmp_path, task="test"):
        pass
    assert (tmp_path / "finished").is_file()


@pytest.mark.parametrize("error", [ConfigError("no"), SystemExit(143)])
def test_a_folder_that_a_refused_job_leaves_empty_goes_with_those_above(tmp_path, monkeypatch, error):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "digits" / "1"
    folder.mkdir(parents=True)
    with pytest.raises(type(error)), removed_if_empty(folder):
        raise error
    assert os.listdir(tmp_path) == []


def test_a_folder_with_files_or_of_a_job_that_is_not_refused_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "runs/old/finished")
    for name in ("old", "new"):
        (tmp_path / "runs" / name).mkdir(exist_ok=True)
        with pytest.raises(ConfigError), removed_if_empty(tmp_path / "runs" / name):
            raise ConfigError
    with removed_if_empty(tmp_path):
        pass
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()] == ["runs/old/finished"]
    assert os.listdir(tmp_path / "runs") == ["old"]


@pytest.mark.parametrize("name", ["metrics.csv", ".lock", "checkpoints", "checkpoints/last.ckpt"])
def test_a_folder_whose_files_lie_elsewhere_is_refused(tmp_path, name):
    run_dir, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    (run_dir / name).parent.mkdir(parents=True)
    elsewhere.write_text("precious")
    (run_dir / name).symlink_to(elsewhere)
    config = SimpleNamespace(run_dir=str(run_dir), task="fit", resume=True, overwrite=False, checkpoint=None)
    with pytest.raises(ConfigError, match=rf"{name} is a link to .*elsewhere, out of run_dir"), own_run_dir(config):
        pass
    assert elsewhere.read_text() == "precious"


def fail_after_writing(folder, *names):
    with suppress(ZeroDivisionError), run(folder):
        write(folder, *names)
        1 / 0  # noqa: B018


@pytest.mark.parametrize("kept", [None, "mine.txt", "checkpoints/last.ckpt", "metrics.csv"])
def test_a_run_that_fails_at_the_start_leaves_only_what_others_made(tmp_path, kept):
    fail_after_writing(tmp_path / "new", "config.yaml", "environment.json", *([kept] if kept else []))
    assert (tmp_path / "new").is_dir() == (tmp_path / "new" / "config.yaml").is_file() == bool(kept)


def test_a_failed_run_removes_nothing_from_a_folder_with_files(tmp_path):
    write(tmp_path, "old/config.yaml")
    fail_after_writing(tmp_path / "old", "environment.json")
    assert {"config.yaml", "environment.json"} <= set(os.listdir(tmp_path / "old"))


def test_a_long_name_of_a_score_stands_clear_of_its_value(tmp_path, capsys):
    show_results(str(tmp_path), {"test/average_precision_triangle": 0.5, "test/loss": 0.25})
    long, short, _ = capsys.readouterr().out.splitlines()
    assert long == "test/average_precision_triangle 0.5000"
    assert short.split() == ["test/loss", "0.2500"]
    assert short.index("0.2500") == long.index("0.5000")
