"""Pages over several runs, as a user makes them."""

from statistics import mean, stdev

import pytest

from tests.support.made_runs import compared, over
from tests.support.programs import metrics_of, program_without_torch, train_here


def test_fifty_runs_are_compared_without_torch(tmp_path):
    over(tmp_path / "runs", {lr: [lr / 100, lr / 90] for lr in range(1, 26)})
    done = program_without_torch("scripts.compare_runs", "runs", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "compare.html\n"), done.stderr
    assert (tmp_path / "compare.html").stat().st_size < 1_000_000


def test_a_mistake_is_one_line(tmp_path):
    done = program_without_torch("scripts.compare_runs", "nowhere", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "error: there is no folder nowhere\n")


def test_trained_runs_get_the_means_of_their_metrics(tmp_path):
    changes = {
        lr: [train_here(tmp_path / f"{lr}_{s}", f"model.lr={lr}", f"seed={s}", "trainer.max_epochs=1") for s in (0, 1)]
        for lr in (1e-5, 1e-2)
    }
    found = compared(tmp_path)
    assert list(found.keys) == ["model.lr"]
    assert [setting.values["model.lr"] for setting in found.settings] == [1e-2, 1e-5]
    for setting in found.settings:
        for name in ("val/accuracy", "test/loss"):
            values = [metrics_of(folder)[name] for folder in changes[setting.values["model.lr"]]]
            assert setting.mean(name) == pytest.approx(mean(values))
            assert setting.spread(name) == pytest.approx(stdev(values))
