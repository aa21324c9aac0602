import math
from contextlib import nullcontext
from functools import partial

import pytest
import torch
from pytorch_lightning.plugins import MixedPrecision

from src.callbacks.loader_state import LoaderState
from src.callbacks.nan_guard import NanGuard
from src.callbacks.resume_state import ResumeState
from src.models.tables.tabular_model import TabularModel
from tests.support import tiny, tiny_table, tiny_text
from tests.support.callbacks.poisoned import Poisoned
from tests.support.programs import checkpoint_of, metrics_of, same, train_here
from tests.support.tiny import AtBatch, trainer

# Three batches of four rows an epoch.
NAN = math.nan
ADAM = partial(torch.optim.AdamW, weight_decay=0.1)


def state(trainer, model):
    """A copy of all that a step changes."""
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    slots = trainer.optimizers[0].state_dict()["state"]
    return weights, {p: {name: value.clone() for name, value in slot.items()} for p, slot in slots.items()}


def fit(on_nan, batches, *callbacks, factor=NAN, model=None, data=None, **choices):
    """A trainer after two epochs, and its guard."""
    guard = NanGuard(on_nan=on_nan)
    fitted = trainer(2, Poisoned(batches=batches, factor=factor), guard, *callbacks, **choices)
    fitted.fit(model or tiny_table.tabular_model(optimizer=ADAM), data or tiny_table.TinyTable())
    return fitted, guard


@pytest.mark.parametrize(("factor", "loss"), [(NAN, "nan"), (math.inf, "(nan|inf)")])
def test_a_loss_that_is_no_number_stops_the_training_before_the_step(factor, loss):
    model = tiny_table.tabular_model(optimizer=ADAM)
    before = AtBatch(lambda trainer, model: {name: p.detach().clone() for name, p in model.named_parameters()})
    with pytest.raises(ValueError, match=f"the loss is {loss} at step 5, lr 0.1, epoch 1, batch 1"):
        fit("stop", [4], before, factor=factor, model=model)
    assert len(before.values) == 5
    assert same(before.values[-1], {name: p.detach() for name, p in model.named_parameters()})


def test_the_message_names_the_rows_of_the_batch():
    seen = AtBatch(lambda trainer, model: trainer.train_dataloader.describe_batch(1))
    with pytest.raises(ValueError) as stopped:
        fit("stop", [4], seen)
    assert f"batch 1 ({seen.values[-1]})" in str(stopped.value)
    assert seen.values[-1] != seen.values[0]  # another order in each epoch


def test_the_message_names_the_tokens_of_a_text():
    with pytest.raises(ValueError, match=r"batch 2 \(tokens 10 to 15 of each track\)"):
        fit("stop", [2], model=tiny_text.language_model(), data=tiny_text.TinyText())


def test_of_accumulated_batches_the_bad_one_is_named():
    with pytest.raises(ValueError, match=r"at step 2, lr 0\.1, epoch 1, batch 1"):
        fit("stop", [4], accumulate_grad_batches=3)


def test_a_stopped_run_keeps_its_last_good_checkpoint(tmp_path):
    poison = [
        "+callbacks.p._target_=tests.support.callbacks.poisoned.Poisoned",
        "+callbacks.p.batches=[8]",
        "+callbacks.p.factor=nan",
    ]
    with pytest.raises(ValueError, match="the loss is nan at step 9"):
        train_here(tmp_path, *poison)
    assert checkpoint_of(tmp_path)["global_step"] == 6
    assert all(value.isfinite().all() for value in checkpoint_of(tmp_path)["state_dict"].values())


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    def spoil(trainer, model):
        with torch.no_grad():
            next(model.parameters())[0] = NAN
        trainer.save_checkpoint(tmp_path / "last.ckpt")

    with pytest.raises(ValueError, match="weights are not finite after step 1"):
        fit("stop", [], AtBatch(spoil, "end"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "choices",
    [
        pytest.param({}, id="fp32"),
        pytest.param({"precision": "bf16-mixed"}, id="bf16"),
        pytest.param({"gradient_clip_val": 1.0}, id="clipped"),
        pytest.param({"model": tiny_table.tabular_model(optimizer=partial(ADAM, fused=True))}, id="fused"),
        pytest.param({"model": tiny_table.tabular_model()}, id="momentum"),
    ],
)
def test_a_step_that_is_left_out_changes_nothing(choices):
    before, after = AtBatch(state), AtBatch(state, "end")
    _, guard = fit("skip", [4], before, after, **choices)
    changed = [not same(*pair) for pair in zip(before.values, after.values, strict=True)]
    assert changed == [True, True, True, True, False, True]
    assert guard.skipped_steps == 1


class InfiniteOnce(TabularModel):
    """Adds infinity to one loss: its gradient is as good as any."""

    def training_step(self, batch, batch_idx):
        is_meant = self.trainer.fit_loop.epoch_loop.total_batch_idx == 4
        return super().training_step(batch, batch_idx) + (math.inf if is_meant else 0.0)


@pytest.mark.parametrize("is_fused", [False, True])
@pytest.mark.parametrize("scaler", [None, partial(torch.amp.GradScaler, "cpu", init_scale=8.0)], ids=["fp32", "fp16"])
def test_a_step_is_left_out_though_its_gradient_is_finite(is_fused, scaler):
    before, after = AtBatch(state), AtBatch(state, "end")
    fitted = trainer(2, NanGuard(on_nan="skip"), before, after)
    if scaler is not None:  # by hand: Lightning has fp16 on a GPU only
        fitted.strategy.precision_plugin = MixedPrecision("16-mixed", "cpu", scaler())
    model = tiny_table.tabular_model(optimizer=partial(ADAM, fused=is_fused))
    model.__class__ = InfiniteOnce
    fitted.fit(model, tiny_table.TinyTable())
    changed = [not same(*pair) for pair in zip(before.values, after.values, strict=True)]
    assert changed == [True, True, True, True, False, True]


def test_of_a_step_that_is_left_out_no_accumulated_batch_counts():
    before, after = AtBatch(state), AtBatch(state, "end")
    fit("skip", [4], before, after, accumulate_grad_batches=3)
    assert same(before.values[3], after.values[5])
    assert not same(before.values[0], after.values[2])


def test_a_language_model_begins_anew_after_a_step_that_is_left_out():
    model = tiny_text.language_model()
    states = AtBatch(lambda trainer, model: model.state, "end")
    _, guard = fit("skip", [2], states, model=model, data=tiny_text.TinyText())
    assert guard.skipped_steps == 1
    assert states.values[2] is None


def test_the_steps_left_out_are_counted_and_logged():
    fitted, _ = fit("skip", [1, 4, 5])
    assert fitted.callback_metrics["train/skipped_steps"] == 3


def test_a_resumed_training_counts_on(tmp_path):
    fitted, _ = fit("skip", [1, 4])
    fitted.save_checkpoint(tmp_path / "a.ckpt")
    guard = NanGuard(on_nan="skip")
    model = tiny_table.tabular_model(optimizer=ADAM)
    trainer(2, guard).fit(model, tiny_table.TinyTable(), ckpt_path=tmp_path / "a.ckpt", weights_only=True)
    assert guard.skipped_steps == 2


@pytest.mark.parametrize("on_nan", ["stop", "skip"])
def test_a_loss_before_a_checkpoint_between_accumulated_batches_is_remembered(tmp_path, on_nan):
    def save(trainer, model):
        if trainer.fit_loop.epoch_loop.total_batch_idx == 0:
            trainer.save_checkpoint(tmp_path / "a.ckpt")

    guard = NanGuard(on_nan=on_nan)
    resumed = trainer(1, guard, LoaderState(), ResumeState(), accumulate_grad_batches=3)
    model = tiny_table.tabular_model(optimizer=ADAM)
    ends = pytest.raises(ValueError, match=r"the loss is nan at step 1, lr 0\.1, epoch 0, batch 0 ")
    with nullcontext() if on_nan == "skip" else ends:
        fit(on_nan, [0], AtBatch(save, "end"), LoaderState(), ResumeState(), accumulate_grad_batches=3)
    with nullcontext() if on_nan == "skip" else ends:
        resumed.fit(model, tiny_table.TinyTable(), ckpt_path=tmp_path / "a.ckpt", weights_only=True)
    assert guard.skipped_steps == (1 if on_nan == "skip" else 0)
    assert all(value.isfinite().all() for value in model.state_dict().values())


def test_all_ranks_leave_out_what_one_cannot_count(tmp_path):
    poison = {"_target_": "tests.support.callbacks.poisoned.Poisoned", "batches": "[3]", "factor": "nan", "rank": 1}
    two = ["trainer=ddp_cpu", "trainer.strategy=ddp_fork", "datamodule.batch_size=100", "trainer.max_epochs=1"]
    added = [f"+callbacks.p.{key}={value}" for key, value in poison.items()]
    train_here(tmp_path, *two, *added, "callbacks.nan_guard.on_nan=skip")
    assert metrics_of(tmp_path)["train/skipped_steps"] == 1.0
    assert all(value.isfinite().all() for value in checkpoint_of(tmp_path)["state_dict"].values())


def test_a_training_without_such_a_loss_is_as_without_the_guard():
    guarded, plain = tiny.classifier(), tiny.classifier()
    for model, callbacks in ((guarded, [NanGuard(on_nan="skip")]), (plain, [])):
        torch.manual_seed(0)
        trainer(2, *callbacks).fit(model, tiny.TinyImages())
    assert same(dict(guarded.state_dict()), dict(plain.state_dict()))


def test_a_choice_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match=r"nan_guard\.on_nan must be stop or skip, got warn"):
        NanGuard(on_nan="warn")
