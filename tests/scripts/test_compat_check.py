"""Comparing an older commit's runs with what the present tree makes of them."""

import math
import subprocess

import pytest
import torch

from scripts import compat_check
from scripts.compat_check import main, worktree
from src.core.errors import ROOT, ConfigError


def test_it_asks_for_a_commit(capsys):
    with pytest.raises(SystemExit, match="2"):
        main([])
    said = capsys.readouterr().err
    assert said.startswith("usage: python -m scripts.compat_check [-h] [--cases CASES] OLD_COMMIT\n")
    assert said.endswith("error: the following arguments are required: OLD_COMMIT\n")


def test_an_unknown_case_is_named(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["HEAD", "--cases", "mlp,none"])
    assert "there is no case none; there are cnn_small, mlp," in capsys.readouterr().err


def test_a_commit_that_git_does_not_know_is_named(tmp_path):
    message = "git cannot check out nowhere: fatal: invalid reference: nowhere"
    with pytest.raises(ConfigError, match=message), worktree("nowhere", tmp_path / "old"):
        pass


def test_differences_are_relative_to_the_older_value():
    assert compat_check._differ([2.0, "0.5", "a"], [2.0, "0.5", "a"]) == 0
    assert compat_check._differ([2.0, "0.5"], [2.5, "0.6"]) == pytest.approx(0.25)
    assert compat_check._differ(["a"], ["b"]) == math.inf
    assert compat_check._differ([1.0], [1.0, 2.0]) == math.inf
    assert compat_check._differ([1.0], [None]) == math.inf


def test_weights_differ_relative_to_the_largest_of_their_tensor(tmp_path):
    pairs = {"one": torch.tensor([1.0, -4.0]), "other": torch.tensor([2.0, -4.0])}
    for name, weights in pairs.items():
        torch.save({"state_dict": {"w": weights, "count": torch.tensor(0)}}, tmp_path / f"{name}.ckpt")
    assert compat_check._weights_differ(tmp_path / "one.ckpt", tmp_path / "other.ckpt") == 0.25
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    assert compat_check._weights_differ(tmp_path / "one.ckpt", tmp_path / "other.ckpt") == math.inf


@pytest.mark.long
def test_the_newest_commit_is_compatible_with_itself(capsys):
    assert main(["HEAD", "--cases", "mlp"]) == 0
    lines = capsys.readouterr().out.splitlines()
    what = "weights after resuming identical, scores after resuming identical, test scores identical, answers identical"
    assert lines[0] == f"mlp: {what}"
    worktrees = subprocess.run(["git", "-C", ROOT, "worktree", "list"], check=True, capture_output=True, text=True)
    assert "/old " not in worktrees.stdout
