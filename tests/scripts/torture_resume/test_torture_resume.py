import json

import pytest
import torch

from scripts.torture_resume import __main__ as torture_resume
from scripts.torture_resume.__main__ import Life, differing, ending, torture, without_paths


def test_killed_runs_end_like_undisturbed_ones(tmp_path, capsys):
    status = torture(tmp_path, ["digits"], kills=2, seed=5)
    output = capsys.readouterr().out
    assert status == 0, output
    result = json.loads(output.splitlines()[-1])
    assert (result["kills"], result["identical"]) == (2, 2)


@pytest.mark.parametrize(("second", "status"), [("other", 1), ("same", 0)])
def test_a_run_that_ended_before_its_first_kill_counts_if_it_differs(second, status, tmp_path, monkeypatch, capsys):
    kills, endings = iter([None, "SIGTERM"]), iter([{"file": "same"}, {"file": second}, {"file": "same"}])
    monkeypatch.setattr(torture_resume.Run, "finish", lambda self: Life(1.0, 2.0))
    monkeypatch.setattr(torture_resume, "write_data", lambda folder: None)
    monkeypatch.setattr(torture_resume, "kill", lambda run, life, draw: next(kills))
    monkeypatch.setattr(torture_resume, "ending", lambda folder: next(endings))
    assert torture(tmp_path, ["digits"], kills=1, seed=0) == status


def test_each_finder_s_curve_and_the_samples_are_compared(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    for name in ("last", "best"):
        torch.save({}, tmp_path / "checkpoints" / f"{name}.ckpt")
    (tmp_path / "metrics.json").write_text("{}")
    (tmp_path / "metrics.csv").touch()
    whole = ending(tmp_path)
    for name in ("samples.txt", "lr_finder.csv", "lr_finder_epoch_2.csv", "bptt_finder.csv"):
        (tmp_path / name).write_text("1")
    found = {place.lstrip("/") for place in differing(whole, ending(tmp_path))}
    assert found == {"samples.txt", "lr_finder.csv", "lr_finder_epoch_2.csv", "bptt_finder.csv"}


def test_what_differs_is_named():
    a = {"loops": [1, {"epoch": 2}], "weights": torch.tensor([1.0, float("nan")]), "more": 0}
    b = {"loops": [1, {"epoch": 3}], "weights": torch.tensor([1.0, float("nan")])}
    assert list(differing(a, a)) == []
    assert list(differing(a, b)) == ["/loops/1/epoch", "/more"]
    assert list(differing(torch.tensor([0.0]), torch.tensor([-0.0]), "sign")) == ["sign"]


def test_times_and_folders_do_not_count():
    left = {"fit_s": 3.0, "best": "/tmp/a/best.ckpt", "loss": 0.5}
    assert without_paths(left, "/tmp/a") == {"best": "/best.ckpt", "loss": 0.5}
