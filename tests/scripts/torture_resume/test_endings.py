"""What counts as a difference between two runs."""

import json

import pytest
import torch

from scripts.torture_resume.endings import differing, ending, without_paths


@pytest.fixture
def run_dir(tmp_path):
    """What a run leaves, as far as it is compared."""
    (tmp_path / "checkpoints").mkdir()
    for name in ("last", "best"):
        torch.save(
            {"callbacks": {"path": f"{tmp_path}/best.ckpt", "seconds": 3.0}}, tmp_path / f"checkpoints/{name}.ckpt"
        )
    (tmp_path / "metrics.json").write_text('{"val/loss": 0.5, "time/fit_s": 2.0}')
    (tmp_path / "metrics.csv").write_text("step,val/loss,train/samples_per_second\n1,0.5,900\n")
    return tmp_path


def test_two_runs_that_differ_in_times_and_folders_are_alike(run_dir):
    first = ending(run_dir)
    (run_dir / "metrics.json").write_text('{"val/loss": 0.5, "time/fit_s": 7.0}')
    (run_dir / "metrics.csv").write_text("step,val/loss,train/samples_per_second\n1,0.5,800\n")
    assert list(differing(first, ending(run_dir))) == []


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        ("metrics.json", '{"val/loss": 0.6}', "/metrics.json/val/loss"),
        ("metrics.csv", "step,val/loss\n1,0.6\n", "/metrics.csv/0/val/loss"),
        ("samples.txt", "other words", "/samples.txt"),
        ("lr_finder.csv", "lr,loss\n1,2\n", "/lr_finder.csv"),
        ("lr_finder_epoch_2.csv", "lr,loss\n1,2\n", "/lr_finder_epoch_2.csv"),
        ("bptt_finder.csv", "bptt,loss\n1,2\n", "/bptt_finder.csv"),
    ],
)
def test_each_file_is_compared(name, text, place, run_dir):
    first = ending(run_dir)
    (run_dir / name).write_text(text)
    assert list(differing(first, ending(run_dir))) == [place]


@pytest.mark.parametrize("name", ["last", "best"])
def test_each_checkpoint_is_compared(name, run_dir):
    first = ending(run_dir)
    torch.save({"callbacks": {"path": "elsewhere"}}, run_dir / "checkpoints" / f"{name}.ckpt")
    assert list(differing(first, ending(run_dir))) == [f"/{name}/callbacks/path"]


def test_a_bptt_finders_speeds_and_memory_do_not_count(run_dir):
    head = "bptt,tokens_per_second,step_s,memory_mb,loss\n"
    (run_dir / "bptt_finder.csv").write_text(f"{head}4,900,0.1,300,2.5\n")
    first = ending(run_dir)
    (run_dir / "bptt_finder.csv").write_text(f"{head}4,800,0.2,400,2.5\n")
    assert list(differing(first, ending(run_dir))) == []
    (run_dir / "bptt_finder.csv").write_text(f"{head}4,800,0.2,400,2.6\n")
    assert list(differing(first, ending(run_dir))) == ["/bptt_finder.csv/0/loss"]


def test_the_processes_of_a_run_share_one_w_and_b_run(run_dir):
    for name in ("offline-run-1-abc", "offline-run-1-abc-1"):
        (run_dir / "wandb" / name).mkdir(parents=True)
    assert ending(run_dir)["W&B run ids"] == 1
    (run_dir / "wandb" / "offline-run-3-xyz").mkdir()
    assert ending(run_dir)["W&B run ids"] == 2


def test_what_differs_is_named():
    a = {"loops": [1, {"epoch": 2}], "weights": torch.tensor([1.0, float("nan")]), "more": 0}
    b = {"loops": [1, {"epoch": 3}], "weights": torch.tensor([1.0, float("nan")])}
    assert list(differing(a, a)) == []
    assert list(differing(a, b)) == ["/loops/1/epoch", "/more"]


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (torch.tensor([0.0]), torch.tensor([-0.0])),
        (torch.zeros(2), torch.zeros(2, 1)),
        (torch.zeros(2), torch.zeros(2, dtype=torch.float64)),
        (torch.zeros(2, dtype=torch.bfloat16), torch.ones(2, dtype=torch.bfloat16)),
        ([1, 2], [1]),
        (1, 1.0),
        ("1", 1),
    ],
)
def test_bits_shapes_and_types_count(a, b):
    assert list(differing(a, b, "place")) == ["place"]


def test_times_and_folders_do_not_count():
    left = {"fit_s": 3.0, "best": "/run/a/best.ckpt", "loss": 0.5, "all": ("/run/a", 1)}
    assert without_paths(left, "/run/a") == {"best": "/best.ckpt", "loss": 0.5, "all": ["", 1]}
    assert json.dumps(without_paths({"/run/a/x": 1}, "/run/a")) == '{"/x": 1}'
