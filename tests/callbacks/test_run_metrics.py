import json
from functools import partial
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import Logger

from src.callbacks.run_metrics import RunMetrics, Stopwatch, gradient_norm
from tests.support import tiny
from tests.support.programs import metrics_of, train_here


def run_metrics(folder, unit="samples"):
    return RunMetrics(path=str(folder / "metrics.json"), unit=unit)


def trainer(fn="fit", **changes):
    made = SimpleNamespace(state=SimpleNamespace(fn=fn), sanity_checking=False, ckpt_path=None, current_epoch=1)
    made.world_size, made.is_global_zero, made.global_step = 2, True, 4
    made.callback_metrics = {"val/loss": torch.tensor(0.5)}
    vars(made).update(changes)
    return made


def train(callback, clock, trainer, epochs=1):
    """Each epoch: 2 steps of 3 s with 5 rows of 3 tokens each, a validation of 10 s."""
    callback.setup(trainer, None, "fit")
    callback.on_fit_start(trainer, None)
    clock.seconds += 1000  # Lightning's own sanity check and the like
    callback.on_train_start(trainer, None)
    for _ in range(epochs):
        for step in range(2):
            clock.seconds += 3
            callback.on_train_batch_end(trainer, None, None, (torch.zeros(5, 3), torch.zeros(5, 3)), step)
        callback.on_validation_start(trainer, None)
        clock.seconds += 10
        callback.on_validation_end(trainer, None)


def test_a_stopwatch_counts_only_while_it_runs(clock):
    watch = Stopwatch()
    for _ in range(2):
        watch.start()
        clock.seconds += 3
        watch.stop()
        clock.seconds += 50
    assert watch.seconds == 6


def test_validation_counts_as_fit_and_not_as_training(tmp_path, clock):
    callback = run_metrics(tmp_path)
    train(callback, clock, trainer(), epochs=2)
    callback.teardown(trainer(), None, "fit")
    metrics = metrics_of(tmp_path)
    assert metrics["time/fit_s"] == 32  # 2 x (2 x 3 + 10)
    assert metrics["time/train_s"] == 12
    assert metrics["train/samples_per_second"] == 2 * 2 * 5 * 2 / 12  # two ranks


def test_the_speed_on_a_text_is_counted_in_tokens(tmp_path, clock):
    callback = run_metrics(tmp_path, unit="tokens")
    callback.load_state_dict({"fit_s": 7.0, "train_s": 4.0, "tokens": 30})
    train(callback, clock, trainer())
    assert callback.state_dict()["tokens"] == 30 + 2 * 2 * 15
    callback.teardown(trainer(), None, "fit")
    assert metrics_of(tmp_path)["train/tokens_per_second"] == (30 + 60) / (4 + 6)
    assert "train/samples_per_second" not in metrics_of(tmp_path)


@pytest.mark.parametrize(("unit", "seen"), [("samples", 5), ("tokens", 15)])
def test_the_first_tensor_of_a_batch_is_the_one_that_is_counted(tmp_path, unit, seen):
    callback = run_metrics(tmp_path, unit)
    batch = torch.zeros(5, 3), torch.zeros(7, 2), torch.zeros(4)
    callback.on_train_batch_end(trainer(world_size=1), None, None, batch, 0)
    assert callback.state_dict()[unit] == seen


def test_an_unknown_unit_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="samples or tokens, got words"):
        run_metrics(tmp_path, unit="words")


def test_a_search_counts_as_fit_and_not_as_training(tmp_path, clock):
    callback = run_metrics(tmp_path)
    run = trainer(callback_metrics={"time/lr_finder_s": torch.tensor(2.0), "time/bptt_finder_s": torch.tensor(1.0)})
    train(callback, clock, run)
    callback.teardown(run, None, "fit")
    assert (metrics_of(tmp_path)["time/fit_s"], metrics_of(tmp_path)["time/train_s"]) == (16, 3)


def test_numbers_are_the_shortest_decimals_of_what_was_logged(tmp_path):
    callback = run_metrics(tmp_path)
    scores = {"lr/suggested": torch.tensor(0.0148), "val/loss": torch.tensor(1 / 3, dtype=torch.float64)}
    callback.on_validation_end(trainer("validate", callback_metrics=scores), None)
    metrics = metrics_of(tmp_path)
    assert (metrics["lr/suggested"], metrics["val/loss"]) == (0.0148, 1 / 3)


def test_the_sanity_check_before_training_starts_no_watch(tmp_path, clock):
    callback = run_metrics(tmp_path)
    sanity = trainer(sanity_checking=True)
    callback.on_validation_start(sanity, None)
    callback.on_validation_end(sanity, None)
    clock.seconds += 7
    assert callback.state_dict() == {"fit_s": 0, "train_s": 0, "samples": 0}


def test_a_checkpoint_in_mid_epoch_holds_the_time_so_far(tmp_path, clock):
    callback = run_metrics(tmp_path)
    train(callback, clock, trainer())
    clock.seconds += 4
    assert callback.state_dict() == {"fit_s": 20, "train_s": 10, "samples": 20}


def test_a_resumed_run_adds_to_what_the_stopped_one_had(tmp_path, clock):
    callback = run_metrics(tmp_path)
    callback.load_state_dict({"fit_s": 100.0, "train_s": 54.0, "samples": 30})
    train(callback, clock, trainer(ckpt_path="last.ckpt"))
    callback.teardown(trainer(), None, "fit")
    metrics = metrics_of(tmp_path)
    assert (metrics["time/fit_s"], metrics["time/train_s"]) == (116, 60)
    assert metrics["train/samples_per_second"] == (30 + 20) / 60


def test_what_the_test_loads_is_not_added(tmp_path, clock):
    callback = run_metrics(tmp_path)
    train(callback, clock, trainer())
    callback.teardown(trainer(), None, "fit")
    before = metrics_of(tmp_path)
    callback.load_state_dict({"fit_s": 100.0, "train_s": 54.0, "samples": 30})
    callback.setup(trainer("test"), None, "test")
    callback.on_test_end(trainer("test"), None)
    assert metrics_of(tmp_path)["time/fit_s"] == before["time/fit_s"]


def test_a_test_adds_to_the_numbers_of_the_training(tmp_path):
    (tmp_path / "metrics.json").write_text('{"time/fit_s": 3.0, "memory/peak_mb": 1e9}')
    callback = run_metrics(tmp_path)
    callback.setup(trainer("test"), None, "test")
    callback.on_test_end(trainer("test", callback_metrics={"test/loss": torch.tensor(0.25)}), None)
    assert metrics_of(tmp_path) == {"time/fit_s": 3.0, "memory/peak_mb": 1e9, "test/loss": 0.25}


@pytest.mark.parametrize(("before", "peak"), [(5.0, 7.0), (9.0, 9.0)])
def test_the_peak_is_the_higher_one_of_training_and_test(tmp_path, monkeypatch, before, peak):
    monkeypatch.setattr("src.callbacks.run_metrics.peak_of_run_mb", lambda: 7.0)
    (tmp_path / "metrics.json").write_text(json.dumps({"memory/peak_mb": before}))
    callback = run_metrics(tmp_path)
    callback.setup(trainer("test"), None, "test")
    callback.on_test_end(trainer("test"), None)
    assert metrics_of(tmp_path)["memory/peak_mb"] == peak


def test_the_numbers_of_a_training_without_a_batch(tmp_path, clock):
    callback = run_metrics(tmp_path)
    callback.on_fit_start(trainer(), None)
    callback.teardown(trainer(), None, "test")
    assert not (tmp_path / "metrics.json").exists()
    callback.teardown(trainer(), None, "fit")
    metrics = metrics_of(tmp_path)
    assert (metrics["train/samples_per_second"], metrics["train/epochs"], metrics["train/steps"]) == (0, 1, 4)


def test_a_new_training_replaces_the_numbers_of_an_older_one(tmp_path, clock):
    (tmp_path / "metrics.json").write_text('{"test/loss": 3.0}')
    callback = run_metrics(tmp_path)
    train(callback, clock, trainer())
    callback.teardown(trainer(), None, "fit")
    assert "test/loss" not in metrics_of(tmp_path)


def test_a_number_that_is_not_finite_is_null(tmp_path):
    callback = run_metrics(tmp_path)
    scores = {"val/loss": torch.tensor(torch.nan), "val/auroc": torch.tensor(torch.inf)}
    callback.on_validation_end(trainer("validate", callback_metrics=scores), None)
    text = (tmp_path / "metrics.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail)["val/loss"] is None
    assert json.loads(text)["val/auroc"] is None


def test_other_ranks_write_nothing(tmp_path):
    callback = run_metrics(tmp_path)
    callback.on_test_end(trainer("test", is_global_zero=False), None)
    assert list(tmp_path.iterdir()) == []


def test_a_run_with_validation_in_mid_epoch_counts_every_row(tmp_path):
    train_here(tmp_path, "trainer.max_epochs=2", "trainer.val_check_interval=2", "trainer.num_sanity_val_steps=1")
    metrics = metrics_of(tmp_path)
    assert metrics["train/samples_per_second"] * metrics["time/train_s"] == pytest.approx(2 * 6 * 200)
    assert metrics["time/train_s"] < metrics["time/fit_s"]


class Rows(Logger):
    """Keeps what it is told of each step."""

    name, version = "rows", ""

    def __init__(self):
        super().__init__()
        self.found = []

    def log_hyperparams(self, *_, **__):
        pass

    def log_metrics(self, metrics, step=None):
        if "train/lr" in metrics:
            self.found.append({"step": step, **metrics})


def logged(folder, *callbacks, epochs=1, **choices):
    """The rows of a training of 3 steps an epoch."""
    torch.manual_seed(0)
    rows = Rows()
    made = tiny.trainer(epochs, run_metrics(folder), *callbacks, logger=rows, **choices)
    made.fit(tiny.classifier(scheduler=partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.5)), tiny.TinyImages())
    return rows.found


def test_a_row_has_the_rate_and_the_momentum_of_its_step(tmp_path):
    rows = logged(tmp_path)
    assert [row["step"] for row in rows] == [0, 1, 2]
    assert [row["train/lr"] for row in rows] == pytest.approx([0.1, 0.05, 0.025])
    assert {row["train/momentum"] for row in rows} == {0.9}


def test_a_row_has_the_gradient_before_it_is_clipped(tmp_path):
    def norm(_, model):
        return float(torch.cat([p.grad.flatten() for p in model.parameters()]).norm())

    whole, clipped = tiny.AtBatch(norm, "end"), tiny.AtBatch(norm, "end")
    assert [row["train/grad_norm"] for row in logged(tmp_path, whole)] == pytest.approx(whole.values)
    rows = logged(tmp_path, clipped, gradient_clip_val=0.01)
    assert clipped.values[0] == pytest.approx(0.01, rel=1e-3)
    assert rows[0]["train/grad_norm"] == pytest.approx(whole.values[0])


def test_a_row_comes_every_so_many_steps_with_the_speed_since_the_one_before(tmp_path, clock):
    class Slow(pl.Callback):
        def on_train_batch_start(self, *_):
            clock.seconds += 2.5

        def on_validation_batch_start(self, *_):
            clock.seconds += 50

    def rarely(trainer, _):
        trainer.log_every_n_steps = 3

    rows = logged(tmp_path, Slow(), tiny.AtBatch(rarely), epochs=2)
    assert [row["step"] for row in rows] == [2, 5]
    assert [row["train/samples_per_second"] for row in rows] == [12 / 7.5, 12 / 7.5]


@pytest.mark.parametrize(("is_divided", "norm"), [(False, 5.0), (True, None)])
def test_adams_momentum_is_its_first_beta_and_a_divided_model_has_no_norm(tmp_path, monkeypatch, is_divided, norm):
    monkeypatch.setattr("src.callbacks.run_metrics.is_sharded", lambda trainer: is_divided)
    monkeypatch.setattr("src.callbacks.run_metrics.is_row_due", lambda trainer: True)
    callback, model = run_metrics(tmp_path), torch.nn.Linear(2, 1, bias=False)
    model.weight.grad = torch.tensor([[3.0, 4.0]])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.25, betas=(0.75, 0.5))
    callback.on_before_optimizer_step(trainer(loggers=[Rows()]), model, optimizer)
    assert callback._step == {"train/lr": 0.25, "train/momentum": 0.75, "train/grad_norm": norm}


@pytest.mark.parametrize("changes", [{"loggers": []}, {"loggers": [1], "is_global_zero": False}])
def test_without_a_logger_or_on_another_rank_no_row_is_made(tmp_path, monkeypatch, changes):
    monkeypatch.setattr("src.callbacks.run_metrics.is_row_due", lambda trainer: True)
    callback = run_metrics(tmp_path)
    callback.on_before_optimizer_step(trainer(**changes), None, torch.optim.SGD([torch.zeros(1)], lr=1.0))
    assert callback._step == {}


def test_a_step_without_gradients_has_no_norm():
    assert gradient_norm(torch.nn.Linear(2, 1)) is None


def test_rows_of_steps_are_not_in_metrics_json(tmp_path):
    logged(tmp_path)
    assert {"train/lr", "train/grad_norm", "memory/mb"} & metrics_of(tmp_path).keys() == set()
