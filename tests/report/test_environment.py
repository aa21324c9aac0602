import json
import subprocess

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


def test_changes_that_are_not_committed_are_told(checkout):
    folder, head = checkout
    (folder / "file").write_text("2")
    assert commit(folder) == f"{head} with changes that are not committed"


def test_a_folder_that_is_no_checkout_has_no_commit(tmp_path):
    assert commit(tmp_path) is None


def test_the_machine_is_named_with_its_cores():
    assert cpu().split(", ")[-1].split()[1] in ("core", "cores")


def test_gpus_of_one_kind_are_counted(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda number: "T4" if number else "A100")
    assert gpus() == "1 x A100, 2 x T4"


def test_a_run_keeps_where_it_ran(tmp_path):
    save_environment(tmp_path / "run" / "environment.json", 2, "32-true")
    found = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert found["hardware"].endswith("; 2 processes")
    assert found["precision"] == "32-true"
    assert "torch 2" in found["software"]
