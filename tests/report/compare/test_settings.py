"""What differs between invented runs."""

import math

import pytest

from src.core.errors import ConfigError
from src.report.compare.settings import differing, grouped
from tests.support.made_runs import compared, made, over


def test_runs_that_differ_in_seed_folder_and_logger_are_one_setting(tmp_path):
    [setting] = over(tmp_path, {0.1: [0.9, 0.92, 0.97]}).settings
    assert len(setting.runs) == 3
    assert setting.mean("val/accuracy") == pytest.approx(0.93)
    assert setting.spread("val/accuracy") == pytest.approx(math.sqrt((0.03**2 + 0.01**2 + 0.04**2) / 2))


def test_a_seed_that_was_run_again_counts_once(tmp_path):
    made(tmp_path / "first", 0.7, seed=0)
    made(tmp_path / "again", 0.9, seed=0)
    made(tmp_path / "other", 0.6, seed=1)
    [setting] = compared(tmp_path).settings
    assert sorted(setting.over_seeds("val/accuracy")) == pytest.approx([0.6, 0.8])


@pytest.mark.parametrize(("mode", "ranked"), [("max", [0.3, 0.1, 0.2]), ("min", [0.2, 0.1, 0.3])])
def test_the_best_setting_comes_first(tmp_path, mode, ranked):
    found = over(tmp_path, {0.1: [0.5, 0.6], 0.2: [0.4, 0.45], 0.3: [0.7, 0.8]}, mode=mode)
    assert [setting.values["model.lr"] for setting in found.settings] == ranked


def test_objects_differ_by_their_class_and_those_of_one_class_by_their_arguments():
    def config(target, **arguments):
        return {"model": {"optimizer": {"_target_": target, **arguments}}}

    adam, slow, fast = config("torch.Adam", betas=[0.9, 0.99]), config("torch.SGD", lr=1), config("torch.SGD", lr=2)
    assert differing([adam, slow, fast]) == {
        "model.optimizer": ["Adam", "SGD", "SGD"],
        "model.optimizer.lr": ["-", 1, 2],
    }


def test_a_key_that_some_configs_lack_differs():
    averaged = {"callbacks": {"ema": {"_target_": "callbacks.Averaging", "decay": 0.9}}}
    assert differing([averaged, {"callbacks": {}}]) == {"callbacks.ema": ["Averaging", "-"]}


def test_keys_that_change_along_are_named_with_the_uppermost():
    columns = {"a.b.epochs": [1, 1, 2], "lr": [0.1, 0.2, 0.2], "net": ["x", "x", "y"], "same": [3, 3, 3]}
    assert grouped(columns) == {"lr": [], "net": ["a.b.epochs"]}


def test_numbers_that_a_search_has_drawn_do_not_change_along():
    assert grouped({"lr": [0.1, 0.2, 0.3], "dropout": [0.5, 0.1, 0.2]}) == {"lr": [], "dropout": []}
    assert grouped({"lr": [0.1, 0.2, 0.3], "batch": [30, 20, 10]}) == {"lr": ["batch"]}


def test_fewer_than_two_scores_of_a_metric_are_refused(tmp_path):
    made(tmp_path / "a", 0.9)
    made(tmp_path / "b", 2.0, monitor="val/loss", mode="min")
    made(tmp_path / "c", "none", lr=1)
    with pytest.raises(
        ConfigError, match=r"\(val/accuracy, val/loss in metrics.json\), got 2 with a score among 3 runs; "
    ):
        compared(tmp_path)


def test_a_finished_run_counts_without_a_test(tmp_path):
    made(tmp_path / "a", 0.9)
    (made(tmp_path / "b", 0.8, lr=0.2) / "metrics.json").write_text('{"val/accuracy": 0.8}')
    (tmp_path / "b" / "finished").touch()
    assert len(compared(tmp_path).settings) == 2
