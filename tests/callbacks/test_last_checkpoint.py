"""When last.ckpt is saved while a training goes on, by a clock of its own."""

from types import SimpleNamespace

import pytest

from src.callbacks import clock, stop_signals
from src.callbacks.last_checkpoint import LastCheckpoint
from src.callbacks.stop_signals import StopSignals
from src.core.signals import Stopped
from src.training import checkpoint_io
from tests.support.callbacks.stop_at import Stopped as Crash
from tests.support.programs import checkpoint_of, same, scores_of, table_of, train_here
from tests.support.tiny import AtBatch, TinyImages, classifier, trainer


@pytest.fixture
def seconds(monkeypatch):
    """A clock that stands still; its time may be set."""
    time = SimpleNamespace(now=0.0)
    monkeypatch.setattr(clock, "now", lambda: time.now)
    return time


@pytest.fixture
def saves(monkeypatch, seconds):
    """The steps at which checkpoints were written; each takes `seconds.cost` seconds."""
    steps, write = [], checkpoint_io.write_checkpoint
    seconds.cost = 2.0

    def write_and_count(checkpoint, path):
        write(checkpoint, path)
        steps.append(checkpoint["global_step"])
        seconds.now += seconds.cost

    monkeypatch.setattr(checkpoint_io, "write_checkpoint", write_and_count)
    return steps


def fit(folder, seconds, pause_factor, *, seconds_a_step=1.0, epochs=9, **choices):
    """Train for epochs of three steps, each of which takes some seconds."""

    def pass_time(trainer, model):
        seconds.now += seconds_a_step

    last = LastCheckpoint(dirpath=str(folder), pause_factor=pause_factor)
    run = trainer(epochs, AtBatch(pass_time, "end"), last, enable_checkpointing=True, **choices)
    run.fit(classifier(), TinyImages())


def test_without_a_pause_each_validation_is_followed_by_a_save(tmp_path, seconds, saves):
    fit(tmp_path, seconds, 0)
    assert saves == [3, 6, 9, 12, 15, 18, 21, 24, 27]


def test_after_a_save_the_next_are_left_out_for_so_many_times_as_long_as_it_took(tmp_path, seconds, saves):
    fit(tmp_path, seconds, 4)  # 8 seconds: two epochs take 6
    assert saves == [3, 12, 21]


def test_validations_within_an_epoch_are_treated_alike(tmp_path, seconds, saves):
    fit(tmp_path, seconds, 2, epochs=3, val_check_interval=2)
    assert saves == [2, 8]


def test_a_longer_save_makes_a_longer_pause(tmp_path, seconds, saves):
    seconds.cost = 5.0
    fit(tmp_path, seconds, 4)
    assert saves == [3, 24]


def test_its_state_is_found_under_the_name_of_its_base_class():
    made = LastCheckpoint(dirpath="a", pause_factor=50)
    assert made.state_key.startswith("ModelCheckpoint{'monitor': None")


EVERY_STEP = "callbacks.stop_signals.save_every_minutes=1"


@pytest.fixture
def minutes(monkeypatch):
    """A clock on which each reading is 61 seconds after the one before."""
    time = SimpleNamespace(now=0.0)

    def tick():
        time.now += 61.0
        return time.now

    monkeypatch.setattr(clock, "now", tick)


@pytest.mark.parametrize(
    "overrides",
    [
        pytest.param([], id="epochs"),
        pytest.param(["trainer.val_check_interval=3"], id="validation in mid-epoch"),
        pytest.param(["trainer.accumulate_grad_batches=4"], id="accumulated batches"),
        pytest.param(["callbacks=[default,ema]"], id="averaged weights"),
    ],
)
def test_saves_within_an_epoch_change_nothing(tmp_path, minutes, overrides):
    rare = train_here(tmp_path / "rare", *overrides, "callbacks.stop_signals.save_every_minutes=1e9")
    often = train_here(tmp_path / "often", *overrides, EVERY_STEP)
    assert same(checkpoint_of(rare)["state_dict"], checkpoint_of(often)["state_dict"])
    assert same(checkpoint_of(rare)["optimizer_states"], checkpoint_of(often)["optimizer_states"])
    assert same(checkpoint_of(rare)["callbacks"]["RandomState"], checkpoint_of(often)["callbacks"]["RandomState"])
    assert table_of(rare) == table_of(often)
    assert scores_of(rare) == scores_of(often)


def test_a_crash_costs_no_more_than_the_minutes(tmp_path, minutes):
    whole = train_here(tmp_path / "whole", EVERY_STEP)
    crash = ["+callbacks.stop._target_=tests.support.callbacks.stop_at.StopAt", "+callbacks.stop.step=9"]
    with pytest.raises(Crash):
        train_here(tmp_path / "crashed", EVERY_STEP, *crash)
    assert checkpoint_of(tmp_path / "crashed")["global_step"] == 9
    resumed = train_here(tmp_path / "crashed", EVERY_STEP, "resume=true")
    assert same(checkpoint_of(whole)["state_dict"], checkpoint_of(resumed)["state_dict"])
    assert table_of(whole) == table_of(resumed)


def test_no_minutes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="save_every_minutes must be positive, got 0"):
        StopSignals(run_dir=str(tmp_path), save_every_minutes=0)


class Rank(StopSignals):
    """One of two ranks, which only counts its saves."""

    def __init__(self, folder):
        super().__init__(run_dir=str(folder), save_every_minutes=1)
        self.saves, self.step = [], 0

    def _save(self, trainer):
        self.saves.append(self.step)
        self._note = "saved"

    def _is_between_steps(self, trainer):
        return True

    def take_step(self):
        self.step += 1
        trainer = SimpleNamespace(world_size=2, local_rank=0, strategy=SimpleNamespace(root_device="cpu"))
        self.on_train_batch_end(trainer, *[None] * 4)


@pytest.fixture
def ranks(tmp_path, monkeypatch):
    """A function that takes a step on both ranks, with what each has to tell, and returns their saves so far."""
    wishes = [[], []]

    class Max:
        def __init__(self, number):
            self.step = len(wishes[number]) - 1

        def wait(self):
            return max(wish[self.step] for wish in wishes)

    pair = [Rank(tmp_path) for _ in range(2)]

    def step():
        for number, rank in enumerate(pair):

            def start(wish, number=number):
                wishes[number].append(int(wish))
                return Max(number)

            monkeypatch.setattr(stop_signals, "start_max", start)
            rank.take_step()
        return [rank.saves for rank in pair]

    return SimpleNamespace(step=step, pair=pair)


def test_all_ranks_save_in_the_step_after_one_has_asked(ranks, seconds):
    ranks.pair[1]._saved = -30.0  # its clock is ahead
    assert ranks.step() == [[], []]
    seconds.now = 31.0
    assert ranks.step() == [[], []]
    assert ranks.step() == [[3], [3]]
    seconds.now = 62.0
    for _ in range(3):
        assert ranks.step() == [[3], [3]]
    seconds.now = 93.0
    ranks.step()
    assert ranks.step() == [[3, 8], [3, 8]]


def test_a_signal_that_comes_with_the_wish_to_save_stops_all_ranks(ranks, seconds):
    seconds.now = 61.0
    ranks.pair[0]._note_signal(15, None)
    ranks.step()
    assert ranks.step() == [[2], [2]]
    for rank in ranks.pair:
        with pytest.raises(Stopped):
            rank._stop_if_saved(SimpleNamespace(local_rank=0))
