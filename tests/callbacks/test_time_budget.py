"""Trainings of trainer.max_minutes and trainer.max_steps, by a clock on which each training step takes a second."""

import pytest
import torch

from src.callbacks.loader_state import LoaderState
from src.callbacks.lr_finder.finder import LRFinder
from src.callbacks.random_state import RandomState
from src.callbacks.resume_state import ResumeState
from src.callbacks.stop_signals import StopSignals
from src.callbacks.time_budget import TimeBudget
from src.models.images.classifier import ImageClassifier
from tests.support.tiny import ONE_CYCLE, AtBatch, TinyImages, classifier, save_after, trainer


@pytest.fixture(autouse=True)
def a_step_takes_a_second(clock, monkeypatch):
    step = ImageClassifier.training_step

    def slow_step(model, batch, batch_idx):
        clock.seconds += 1
        return step(model, batch, batch_idx)

    monkeypatch.setattr(ImageClassifier, "training_step", slow_step)


def run(*callbacks, epochs=-1, seconds=None, checkpoint=None, model=None, **choices):
    """Fit with a schedule over the whole training; returns the trainer and the model."""
    minutes = None if seconds is None else seconds / 60
    fitted = trainer(epochs, TimeBudget(), *callbacks, max_minutes=minutes, **choices)
    torch.manual_seed(0)
    model = model or classifier(scheduler=ONE_CYCLE)
    fitted.fit(model, TinyImages(), ckpt_path=checkpoint, weights_only=True)
    return fitted, model


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def rates():
    return AtBatch(lambda trainer, model: trainer.optimizers[0].param_groups[0]["lr"])


def validated():
    """A model that keeps the steps after which it was validated."""
    model = classifier(scheduler=ONE_CYCLE)
    model.validated, end = [], model.on_validation_epoch_end
    model.on_validation_epoch_end = lambda: (model.validated.append(model.trainer.global_step), end())
    return model


def test_the_steps_and_validations_that_fit_are_counted():
    # 10 steps, validations after steps 3, 6, 9 and the last: 10 + 4 x 2/3 = 12.7 seconds.
    fitted, _ = run(seconds=13)
    assert fitted.global_step == 10


def test_the_schedule_ends_with_the_training():
    seen = rates()
    run(seen, seconds=13)
    expected = rates()
    run(expected, max_steps=10)
    assert seen.values == expected.values
    assert len(seen.values) == 10
    assert seen.values[-1] == min(seen.values)


def test_the_same_number_of_max_steps_repeats_the_training_bit_for_bit():
    timed, untimed = run(seconds=13)[1], run(max_steps=10)[1]
    assert same(weights(timed), weights(untimed))


@pytest.mark.parametrize("length", [{"seconds": 13}, {"max_steps": 10}])
def test_the_last_step_is_validated_also_within_an_epoch(length):
    model = validated()
    run(model=model, **length)
    assert model.validated == [3, 6, 9, 10]


@pytest.mark.parametrize("step", [4, 6, 9])
def test_a_resumed_training_does_not_time_anything_and_goes_on_exactly(tmp_path, clock, step):
    keep = [LoaderState(), RandomState(), ResumeState()]
    path = tmp_path / "saved.ckpt"
    _, expected = run(*keep, save_after(step, path), seconds=13)
    before = clock.seconds
    fitted, resumed = run(*keep, seconds=13, checkpoint=path)
    assert fitted.global_step == 10
    assert clock.seconds - before == 10 - step
    assert same(weights(expected), weights(resumed))


def test_a_finished_training_resumes_to_nothing(tmp_path):
    stop = StopSignals(run_dir=str(tmp_path), save_every_minutes=10)
    _, expected = run(ResumeState(), stop, seconds=13, enable_checkpointing=True)
    fitted, resumed = run(ResumeState(), seconds=13, checkpoint=tmp_path / "checkpoints/last.ckpt")
    assert fitted.global_step == 10
    assert same(weights(expected), weights(resumed))


def test_a_checkpoint_of_another_kind_of_length_is_refused(tmp_path):
    path = tmp_path / "saved.ckpt"
    run(save_after(4, path), max_steps=10)
    with pytest.raises(ValueError, match=r"resume with trainer.max_minutes=null"):
        run(seconds=13, checkpoint=path)


def test_epochs_that_end_before_the_minutes_are_told(capsys):
    fitted, _ = run(epochs=2, seconds=13)
    assert fitted.global_step == 6
    assert "trainer.max_epochs=2 ends the training before, after 6" in capsys.readouterr().err


def test_max_steps_may_end_it_before():
    assert run(seconds=13, max_steps=4)[0].global_step == 4


def test_the_line_says_how_to_repeat_the_training(capsys):
    run(seconds=13)
    line = "trainer.max_minutes=0.216667: 10 steps of 1 s, 3.33 epochs; trainer.max_steps=10 repeats this training"
    assert line in capsys.readouterr().err


def test_a_batch_that_accumulates_is_no_step():
    # Two batches a step, two steps an epoch of three batches: 4 steps take 8 seconds, validations 1.3 or more.
    fitted, _ = run(seconds=10, accumulate_grad_batches=2)
    assert fitted.global_step in (4, 5)


def test_a_learning_rate_is_searched_over_the_counted_steps():
    finder = LRFinder(min_lr=1e-3, num_steps=60, max_lr=100)
    fitted, model = run(finder, seconds=13)
    assert fitted.global_step == 10
    assert model.lr == finder.suggestion


@pytest.mark.parametrize("minutes", [0, -1, float("nan")])
def test_minutes_must_be_positive(minutes):
    with pytest.raises(ValueError, match=r"trainer.max_minutes must be positive"):
        trainer(1, TimeBudget(), max_minutes=minutes)


def test_minutes_need_the_callback():
    with pytest.raises(ValueError, match=r"trainer.max_minutes needs the callback time_budget"):
        trainer(1, max_minutes=1)
