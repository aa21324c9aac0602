import json

import torch

from scripts.torture_resume import differing, torture, without_paths


def test_killed_runs_end_like_undisturbed_ones(tmp_path, capsys):
    status = torture(tmp_path, ["digits"], kills=2, seed=5)
    output = capsys.readouterr().out
    assert status == 0, output
    result = json.loads(output.splitlines()[-1])
    assert (result["kills"], result["identical"]) == (2, 2)


def test_what_differs_is_named():
    a = {"loops": [1, {"epoch": 2}], "weights": torch.tensor([1.0, float("nan")]), "more": 0}
    b = {"loops": [1, {"epoch": 3}], "weights": torch.tensor([1.0, float("nan")])}
    assert list(differing(a, a)) == []
    assert list(differing(a, b)) == ["/loops/1/epoch", "/more"]
    assert list(differing(torch.tensor([0.0]), torch.tensor([-0.0]), "sign")) == ["sign"]


def test_times_and_folders_do_not_count():
    left = {"fit_s": 3.0, "best": "/tmp/a/best.ckpt", "loss": 0.5}
    assert without_paths(left, "/tmp/a") == {"best": "/best.ckpt", "loss": 0.5}
