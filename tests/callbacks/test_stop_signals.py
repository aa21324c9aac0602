import signal
import threading

import pytest

from src.core.saving import SaveError
from src.core.signals import SIGNALS, Stopped, handle
from tests.support.callbacks import stop_at
from tests.support.callbacks.signal_at import signal_at
from tests.support.programs import checkpoint_of, same, scores_of, table_of, train_here

pytestmark = pytest.mark.usefixtures("handlers")
ACCUMULATION = "trainer.accumulate_grad_batches=4"  # six batches: a step of four and a step of two
VALIDATION_IN_MID_EPOCH = "trainer.val_check_interval=3"
VALIDATION_AFTER_EACH_STEP = "trainer.val_check_interval=1"
EVERY_SECOND_EPOCH = "trainer.check_val_every_n_epoch=2"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A function that gives the uninterrupted run of some overrides."""
    runs = {}

    def run(*overrides):
        if overrides not in runs:
            runs[overrides] = train_here(tmp_path_factory.mktemp("whole") / "run", *overrides)
        return runs[overrides]

    return run


def stop(run_dir, hook, step, *overrides, signum=signal.SIGTERM, times=1):
    """Train until a signal comes in a hook after some steps; returns what ended the training."""
    choices = {
        "_target_": "tests.support.callbacks.signal_at.SignalAt",
        "hook": hook,
        "step": step,
        "signum": int(signum),
        "times": times,
    }
    added = [f"+callbacks.signal.{key}={value}" for key, value in choices.items()]
    with pytest.raises(Stopped) as stopped:
        train_here(run_dir, *added, *overrides)
    return stopped.value


@pytest.mark.parametrize(
    ("hook", "step", "saved", "overrides"),
    [
        pytest.param("on_train_batch_end", 1, 1, [], id="in the first step"),
        pytest.param("on_before_zero_grad", 8, 9, [], id="in a step in mid-epoch"),
        pytest.param("on_before_zero_grad", 5, 6, [], id="in an epoch's last step"),
        pytest.param("on_before_zero_grad", 17, 18, [], id="in the training's last step"),
        pytest.param("on_validation_batch_end", 6, 6, [], id="in the validation after an epoch"),
        pytest.param("on_validation_batch_end", 18, 18, [], id="in the last validation"),
        pytest.param("on_before_zero_grad", 2, 3, [VALIDATION_IN_MID_EPOCH], id="in the step before a validation"),
        pytest.param("on_validation_batch_end", 9, 9, [VALIDATION_IN_MID_EPOCH], id="in a validation in mid-epoch"),
        pytest.param("on_before_zero_grad", 3, 4, [VALIDATION_AFTER_EACH_STEP], id="where each step is validated"),
        pytest.param("on_before_zero_grad", 5, 6, [EVERY_SECOND_EPOCH], id="before an epoch's end without validation"),
        pytest.param("on_before_zero_grad", 2, 3, [ACCUMULATION], id="in the first of a step's batches"),
        pytest.param("on_before_zero_grad", 7, 8, ["callbacks=[default,ema]"], id="with averaged weights"),
    ],
)
def test_a_training_that_got_a_signal_goes_on_as_if_there_had_been_none(tmp_path, whole, hook, step, saved, overrides):
    stop(tmp_path, hook, step, *overrides)
    assert checkpoint_of(tmp_path)["global_step"] == saved
    train_here(tmp_path, "resume=true", *overrides)
    a, b = checkpoint_of(whole(*overrides)), checkpoint_of(tmp_path)
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "epoch", "global_step"):
        assert same(a[part], b[part]), part
    assert same(a["callbacks"]["RandomState"], b["callbacks"]["RandomState"])
    assert table_of(tmp_path) == table_of(whole(*overrides))
    assert scores_of(tmp_path) == scores_of(whole(*overrides))


@pytest.mark.parametrize("signum", SIGNALS)
def test_the_exit_status_is_128_and_the_signals_number(tmp_path, signum):
    assert stop(tmp_path, "on_train_batch_end", 1, signum=signum).code == 128 + signum


def test_the_end_says_where_it_was_saved_and_how_to_go_on(tmp_path):
    note = stop(tmp_path, "on_train_batch_end", 2).note
    assert note == f" after step 2; saved {tmp_path}/checkpoints/last.ckpt; go on with resume=true run_dir={tmp_path}"


def test_a_second_ctrl_c_stops_at_once(tmp_path):
    stopped = stop(tmp_path, "on_before_zero_grad", 3, signum=signal.SIGINT, times=2)
    assert stopped.code == 130
    assert not (tmp_path / "checkpoints" / "last.ckpt").exists()


def test_no_checkpoint_is_left_that_would_leave_out_a_validation(tmp_path):
    again = {
        "_target_": "tests.support.callbacks.signal_at.SignalAt",
        "hook": "on_validation_batch_end",
        "step": 3,
        "signum": 2,
    }
    added = [f"+callbacks.again.{key}={value}" for key, value in again.items()]
    stopped = stop(tmp_path, "on_before_zero_grad", 2, VALIDATION_IN_MID_EPOCH, *added, signum=signal.SIGINT)
    assert stopped.code == 130
    assert not (tmp_path / "checkpoints" / "last.ckpt").exists()


def test_a_second_sigterm_disturbs_nothing(tmp_path):
    assert stop(tmp_path, "on_before_zero_grad", 3, signum=signal.SIGTERM, times=2).code == 143
    assert checkpoint_of(tmp_path)["global_step"] == 4


@pytest.mark.parametrize("hook", ["on_train_epoch_start", "on_test_start"])
def test_before_and_after_the_training_the_handlers_are_those_before(tmp_path, handlers, hook):
    got = []
    handle(lambda signum, frame: got.append(signum))
    step = 0 if hook == "on_train_epoch_start" else 18
    train_here(tmp_path, *signal_at(hook=hook, step=step, signum=int(signal.SIGTERM)))
    assert got == [signal.SIGTERM]


def test_a_training_that_fails_puts_the_handlers_back(tmp_path, handlers):
    with pytest.raises(stop_at.Stopped):
        train_here(
            tmp_path, "+callbacks.stop._target_=tests.support.callbacks.stop_at.StopAt", "+callbacks.stop.step=2"
        )
    assert {signum: signal.getsignal(signum) for signum in SIGNALS} == handlers


def test_the_end_of_a_training_is_saved_though_no_validation_follows(whole):
    assert checkpoint_of(whole("trainer.val_check_interval=4"))["global_step"] == 18


def test_outside_the_main_thread_signals_are_left_alone(tmp_path, handlers):
    thread = threading.Thread(target=train_here, args=[tmp_path, "trainer.max_epochs=1"])
    thread.start()
    thread.join()
    assert checkpoint_of(tmp_path)["global_step"] == 6
    assert {signum: signal.getsignal(signum) for signum in SIGNALS} == handlers


def test_what_could_not_be_saved_is_not_said_to_be(tmp_path, monkeypatch):
    def full(checkpoint, path):
        raise SaveError("the disk is full")

    monkeypatch.setattr("src.training.checkpoint_io.write_checkpoint", full)
    with pytest.raises(SaveError, match=r"stopped by SIGTERM, and last.ckpt could not be saved"):
        train_here(
            tmp_path,
            "trainer.on_save_error=continue",
            *signal_at(hook="on_train_batch_end", step=2, signum=int(signal.SIGTERM)),
        )
