import json
import subprocess
from datetime import datetime

import pytest

from src.report.environment import commit, cpu, gpus, save_environment


@pytest.fixture
def checkout(tmp_path):
    """A repository of one commit, and what git says of it."""

    def git(*arguments):
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        run = subprocess.run(["git", "-C", str(tmp_path), *who, *arguments], check=True, capture_output=True, text=True)
        return run.stdout.strip()

    git("init")
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-m", "one")
    return tmp_path, git("rev-parse", "HEAD")


def test_a_clean_checkout_is_its_commit(checkout):
    folder, head = checkout
    assert commit(folder) == head


def test_uncommitted_changes_are_told(checkout):
    folder, head = checkout
    (folder / "file").write_text("2")
    assert commit(folder) == f"{head} with uncommitted changes"


def test_a_folder_that_is_not_a_checkout_has_no_commit(tmp_path):
    assert commit(tmp_path) is None


def test_the_machine_is_named_with_its_cores():
    *_, count = cpu().split(", ")
    assert count in ("1 core", *(f"{n} cores" for n in range(2, 1025)))


def test_gpus_of_one_kind_are_counted(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda number: "T4" if number else "A100")
    assert gpus() == "1 x A100, 2 x T4"


def test_a_run_keeps_where_it_ran(tmp_path):
    path = tmp_path / "run" / "environment.json"
    save_environment(path, 2, "32-true", clock=lambda: datetime(2026, 1, 2, 3, 4, 5))
    found = json.loads(path.read_text())
    assert found["began"] == "2026-01-02 03:04"
    assert found["hardware"].endswith("; 2 processes")
    assert found["precision"] == "32-true"
    assert "torch 2" in found["software"]


def test_one_process_and_no_gpu_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    save_environment(tmp_path / "environment.json", 1, "bf16-mixed")
    assert json.loads((tmp_path / "environment.json").read_text())["hardware"].endswith(", no GPU")


def test_a_git_that_fails_gives_no_commit(tmp_path):
    (tmp_path / ".git").mkdir()  # without content
    assert commit(tmp_path) is None
