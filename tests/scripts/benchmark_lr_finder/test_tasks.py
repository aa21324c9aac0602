"""The tasks train and end with a loss; the grid and the data are what the text says."""

import json
import math

import pytest
import torch

from scripts.benchmark_lr_finder import __main__ as program
from scripts.benchmark_lr_finder.data import _halved, breast_cancer, diabetes, digits
from scripts.benchmark_lr_finder.rivals import OURS, search
from scripts.benchmark_lr_finder.tasks import ALL, HELD_OUT, TASKS, Task, chosen, train

SHORT = Task("diabetes sgd", ALL["diabetes sgd const"].net, diabetes, "sgd", "constant", 121, 2, 1e-3)


def test_there_are_twelve_tasks_and_eight_held_out():
    assert (len(TASKS), len(HELD_OUT), len(ALL)) == (12, 8, 20)


def test_the_grid_has_four_rates_in_a_decade():
    rates = SHORT.rates
    assert len(rates) == 13
    assert rates[:5] == [0.001, 0.00178, 0.00316, 0.00562, 0.01]


@pytest.mark.parametrize(
    ("data", "train", "valid"), [(digits, 800, 997), (diabetes, 242, 200), (breast_cancer, 269, 300)]
)
def test_the_rows_never_change(data, train, valid):
    found = data()
    assert [len(found.train[0]), len(found.valid[0])] == [train, valid]
    assert all(torch.equal(a, b) for a, b in zip(found.train, data.__wrapped__().train, strict=True))


def test_table_columns_are_standardised_by_the_training_rows():
    inputs, targets = diabetes().train
    for columns in (inputs, targets):
        assert columns.mean(0).abs().max() < 1e-5
        assert (columns.std(0, correction=0) - 1).abs().max() < 1e-5


def test_the_loss_of_a_net_that_knows_nothing():
    assert digits().baseline == pytest.approx(math.log(10))
    assert breast_cancer().baseline == pytest.approx(math.log(2))
    assert diabetes().baseline == 1.0


def test_optimizers_and_schedules_are_those_of_conf():
    assert chosen("optimizer", "sgd").keywords["momentum"] == 0.9
    assert chosen("scheduler", "one_cycle").keywords["warmup_fraction"] == 0.25


def test_a_training_is_the_same_for_the_same_arguments():
    first = train(SHORT, 1e-2, seed=1)
    assert 0 < first < 1
    assert train(SHORT, 1e-2, seed=1) == first
    assert train(SHORT, 1e-2, seed=2) != first


def test_a_training_that_diverges_counts_as_a_net_that_knows_nothing():
    assert train(SHORT, 1e6, seed=0) == 1.0


def test_finders_get_the_criterion_with_its_label_smoothing():
    assert ALL["digits cnn sgd 1cycle"].criterion.keywords == {"label_smoothing": 0.1}
    assert SHORT.criterion is diabetes().criterion


@pytest.mark.filterwarnings("ignore")
def test_each_rule_suggests_a_rate():
    found, reason = search("ours", "diabetes sgd const", 0)
    assert tuple(found) == OURS
    assert reason == ""
    assert all(1e-7 < rate < 100 for rate in found.values())


def test_a_finder_that_fails_has_no_rate_and_a_reason(monkeypatch):
    def fail(task, seed):
        raise RuntimeError("no loss")

    monkeypatch.setitem(program.RIVALS, "lightning", fail)
    assert search("lightning", "diabetes sgd const", 0) == ({"lightning": None}, "RuntimeError: no loss")


@pytest.mark.parametrize("rate", [None, float("nan"), 0.0])
def test_a_rate_that_cannot_be_used_is_none(rate, monkeypatch):
    monkeypatch.setitem(program.RIVALS, "lightning", lambda task, seed: rate)
    assert search("lightning", "diabetes sgd const", 0) == ({"lightning": None}, "no suggestion")


@pytest.mark.long
def test_the_program_ends_with_its_numbers(capsys, tmp_path):
    program.main(["--quick", "--figure", str(tmp_path / "a.png")])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["num_tasks"] == 2
    assert result["worst_regret"] < 1
    assert (tmp_path / "a.png").read_bytes()[1:4] == b"PNG"


def test_fashion_images_are_the_means_of_2x2_pixels():
    pixels = torch.arange(28 * 28).reshape(1, 28, 28, 1).numpy() % 256
    halved = _halved(pixels)
    assert halved.shape == (1, 1, 14, 14)
    assert halved[0, 0, 0, 0] == round((0 + 1 + 28 + 29) / 4)
