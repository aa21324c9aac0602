"""What a training keeps when it goes on from a checkpoint, where Lightning alone would lose it."""

from functools import partial

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from torch.optim.lr_scheduler import ReduceLROnPlateau

from src.callbacks.averaging import Averaging
from src.callbacks.loader_state import LoaderState
from src.callbacks.resume_state import ResumeState
from src.core import migrations
from src.core.formats import Migration
from src.loggers.csv_logger import CSVLogger
from tests.support.programs import same
from tests.support.tiny import TinyImages, classifier, trainer

VALIDATIONS = pytest.mark.parametrize(
    "choices", [{}, {"val_check_interval": 2}], ids=["validated at an epoch's end", "validated in mid-epoch"]
)


def trained(folder, epochs, *callbacks, resume=False, scheduler=None, **choices):
    """The trainer after `epochs` epochs of three batches, which saves folder/last.ckpt after each validation."""
    torch.manual_seed(0)
    last = ModelCheckpoint(folder, filename="last", enable_version_counter=False)
    run = trainer(epochs, LoaderState(), ResumeState(), *callbacks, last, enable_checkpointing=True, **choices)
    model = classifier(**{"scheduler": scheduler} if scheduler else {})
    run.fit(model, TinyImages(), ckpt_path=folder / "last.ckpt" if resume else None, weights_only=True)
    return run


def weights(run):
    return run.lightning_module.state_dict()


class SaveAfterBatch(pl.Callback):
    """Saves a checkpoint after a batch, counted over all epochs from 1, whether it ends a step or not."""

    def __init__(self, batch, path):
        self.batch, self.path = batch, path

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.fit_loop.epoch_loop.total_batch_idx + 1 == self.batch:
            trainer.save_checkpoint(self.path)


@pytest.mark.parametrize("batch", [1, 4])
def test_the_gradients_of_accumulated_batches_count_in_the_step_to_come(batch, tmp_path):
    saver = SaveAfterBatch(batch, tmp_path / "stopped" / "last.ckpt")
    whole = trained(tmp_path / "whole", 2, saver, accumulate_grad_batches=2)
    stopped = trained(tmp_path / "stopped", 2, resume=True, accumulate_grad_batches=2)
    assert same(weights(stopped), weights(whole))


def test_no_gradients_are_kept_between_steps(tmp_path):
    trained(tmp_path, 1)
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["resume"]["gradients"] == []


@VALIDATIONS
def test_a_plateau_is_noticed_at_the_end_of_a_resumed_epoch(choices, tmp_path):
    never_content = partial(ReduceLROnPlateau, patience=0, threshold=0.9, factor=0.5)
    whole = trained(tmp_path / "whole", 4, scheduler=never_content, **choices)
    trained(tmp_path / "stopped", 2, scheduler=never_content, **choices)
    resumed = trained(tmp_path / "stopped", 4, scheduler=never_content, resume=True, **choices)
    schedules = [run.lr_scheduler_configs[0].scheduler.state_dict() for run in (whole, resumed)]
    assert schedules[0] == schedules[1]
    assert set(schedules[0]["_last_lr"]) == {0.1 * 0.5**3}


@VALIDATIONS
def test_a_training_that_was_told_to_stop_stays_stopped(choices, tmp_path):
    def stopper():
        return EarlyStopping(monitor="val/loss", patience=2, min_delta=9.0)

    whole = trained(tmp_path, 9, stopper(), **choices)
    resumed = trained(tmp_path, 9, stopper(), resume=True, **choices)
    assert whole.global_step < 27
    assert (resumed.global_step, resumed.current_epoch) == (whole.global_step, whole.current_epoch)
    assert same(weights(resumed), weights(whole))


def test_another_patience_is_used_by_the_resumed_training(tmp_path):
    def stopper(patience):
        return EarlyStopping(monitor="val/loss", patience=patience, min_delta=9.0)

    assert trained(tmp_path, 9, stopper(2)).current_epoch == 3
    assert trained(tmp_path, 9, stopper(5), resume=True).current_epoch == 6
    assert trained(tmp_path, 9, stopper(1), resume=True).current_epoch == 7


class TimeIsOver(pl.Callback):
    """Stops the training in its first epoch, as a Timer does when max_time is over."""

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        trainer.should_stop = trainer.current_epoch == 0


NO_TIMER = pytest.mark.filterwarnings("ignore:Be aware that when using")


@pytest.mark.parametrize(("hours", "epochs"), [(1, 1), (9, 2), pytest.param(None, 2, marks=NO_TIMER)])
def test_more_time_is_used_by_the_resumed_training(tmp_path, hours, epochs):
    assert trained(tmp_path, 2, TimeIsOver(), max_time={"hours": 1}).current_epoch == 1
    more = {"max_time": {"hours": hours}} if hours else {}
    assert trained(tmp_path, 2, resume=True, **more).current_epoch == epochs


def test_a_training_that_averages_does_not_go_on_from_its_averages_alone(tmp_path):
    trained(tmp_path, 1, Averaging(decay=0.9))
    with pytest.raises(ValueError, match="averages its weights: keep its callbacks, such as callbacks=ema"):
        trained(tmp_path, 2, resume=True)


def test_a_run_resumed_at_its_end_knows_its_scores(tmp_path):
    whole = trained(tmp_path, 1)
    assert "val/loss" in whole.callback_metrics
    assert same(dict(trained(tmp_path, 1, resume=True).callback_metrics), dict(whole.callback_metrics))


def test_a_row_that_comes_before_the_step_it_is_named_for_is_kept(tmp_path):
    # Of a validation between two batches of one step.
    def rows(resume):
        logger = CSVLogger(save_dir=str(tmp_path))
        logger.log_hyperparams({"task": "fit", "resume": resume, "checkpoint": None})
        trained(tmp_path, 2, resume=resume, logger=logger, accumulate_grad_batches=3, val_check_interval=2)
        return (tmp_path / "metrics.csv").read_text()

    whole = rows(resume=False)
    assert rows(resume=True) == whole


def test_ranks_that_would_go_on_from_different_steps_stop(tmp_path, monkeypatch):
    monkeypatch.setattr("src.callbacks.resume_state.gather", lambda value: [value, value + 3])
    with pytest.raises(ValueError, match=r"different checkpoints, after steps \[0, 3\]: resume again"):
        trained(tmp_path, 1)


class Clock(pl.Callback):
    """Has a state."""

    def __init__(self):
        self.loaded = None

    def state_dict(self):
        return {"ticks": 3}

    def load_state_dict(self, state_dict):
        self.loaded = state_dict


class Stopwatch(Clock):
    """The same by another name."""


def test_a_state_that_finds_its_callback_is_not_told(tmp_path, capsys):
    trained(tmp_path, 1, Clock())
    trained(tmp_path, 2, Clock(), resume=True)
    assert capsys.readouterr().err == ""


def test_states_without_a_callback_and_callbacks_without_a_state_are_told(tmp_path, capsys):
    trained(tmp_path, 1, Clock())
    trained(tmp_path, 2, Stopwatch(), resume=True)
    assert capsys.readouterr().err == (
        "note: the checkpoint has a state that nothing here takes: Clock; what it counted is lost\n"
        "note: the checkpoint has no state for Stopwatch, which begins as in a new run\n"
    )


def test_a_renamed_callback_keeps_its_state(tmp_path, capsys, monkeypatch):
    trained(tmp_path, 1, Clock())
    since = Migration(renamed={f"{__name__}.Clock": f"{__name__}.Stopwatch"})
    monkeypatch.setattr(migrations, "MIGRATIONS", [*migrations.MIGRATIONS, since])
    stopwatch = Stopwatch()
    trained(tmp_path, 2, stopwatch, resume=True)
    assert stopwatch.loaded == {"ticks": 3}
    assert capsys.readouterr().err == ""


class StatefulImages(TinyImages):
    def state_dict(self):
        return {"rows": 12}


def test_data_without_a_state_are_told(tmp_path, capsys):
    trained(tmp_path, 1)
    monitor = trainer(2, ResumeState())
    monitor.fit(classifier(), StatefulImages(), ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    assert "no state for StatefulImages, which begins as in a new run\n" in capsys.readouterr().err
