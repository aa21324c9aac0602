"""What a process of train.py does when it gets a signal, and what SLURM is asked."""

import os
import signal
import time
import weakref
from contextlib import suppress

import pytest

from src.core.signals import Stopped, exit_on_signals
from tests.support.callbacks.signal_at import Dying, signal_at
from tests.support.programs import SMALL, checkpoint_of, program, same, train_here

pytestmark = pytest.mark.usefixtures("handlers")


def test_a_process_that_got_sigterm_says_where_it_was_saved(tmp_path):
    one = signal_at(hook="on_before_zero_grad", step=7, signum=15)
    ended = program("train.py", *SMALL, *one, f"run_dir={tmp_path}/run", cwd=tmp_path)
    run_dir, step = tmp_path / "run", checkpoint_of(tmp_path / "run")["global_step"]
    assert step == 8
    saved = f"after step {step}; saved {run_dir}/checkpoints/last.ckpt; go on with resume=true run_dir={run_dir}"
    assert (ended.returncode, ended.stderr) == (143, f"stopped by SIGTERM {saved}\n")
    assert int((run_dir / "metrics.csv").read_text().splitlines()[-1].split(",")[0]) == step - 1


def test_ctrl_c_before_the_training_ends_the_process_in_one_line(tmp_path):
    early = ["+callbacks.early._target_=tests.support.callbacks.signal_at.SignalNow", "+callbacks.early.signum=2"]
    ended = program("train.py", *early, f"run_dir={tmp_path}/run", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (130, "stopped by SIGINT\n")


def test_a_signal_that_python_drops_ends_the_process_in_one_line(tmp_path):
    early = ["+callbacks.early._target_=tests.support.callbacks.signal_at.SignalNow", "+callbacks.early.lost=true"]
    ended = program("train.py", *early, "+callbacks.early.signum=10", f"run_dir={tmp_path}/run", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (138, "stopped by SIGUSR1\n")


def test_in_a_multirun_the_jobs_to_come_are_left_out(tmp_path):
    jobs = ["-m", "seed=1,2", f"run_dir={tmp_path}", "trainer.max_epochs=2"]
    ended = program("train.py", *jobs, *signal_at(hook="on_train_batch_end", step=3, signum=15), cwd=tmp_path)
    assert ended.returncode == 143, ended.stderr
    assert checkpoint_of(tmp_path / "0")["global_step"] == 3
    assert not (tmp_path / "1").exists()


@pytest.mark.long
def test_two_ranks_stop_together_when_one_gets_a_signal(tmp_path):
    common = ["trainer=ddp_cpu", "datamodule.batch_size=100"]
    one = signal_at(hook="on_before_zero_grad", step=3, signum=15, rank=1)
    stopped = program("train.py", *SMALL, *common, f"run_dir={tmp_path}/stopped", *one, cwd=tmp_path)
    assert stopped.returncode == 143, stopped.stderr
    assert stopped.stderr.count("stopped by SIGTERM after step 5") == 1
    assert checkpoint_of(tmp_path / "stopped")["global_step"] == 5

    forked = [*common, "trainer.strategy=ddp_fork"]
    train_here(tmp_path / "stopped", *forked, "resume=true")
    train_here(tmp_path / "whole", *forked)
    a, b = (checkpoint_of(tmp_path / run) for run in ("stopped", "whole"))
    assert same(a["state_dict"], b["state_dict"])
    assert same(a["optimizer_states"], b["optimizer_states"])
    assert same(a["callbacks"]["RandomState"], b["callbacks"]["RandomState"])


def in_a_weakref_callback():
    dying = Dying(0)  # signal 0 is none
    reference = weakref.ref(dying, lambda _: os.kill(os.getpid(), signal.SIGTERM))
    del dying
    assert reference() is None


def in_del():
    Dying(signal.SIGTERM)


def in_a_library_that_catches_everything():
    with suppress(BaseException):
        os.kill(os.getpid(), signal.SIGTERM)


LOSSES = pytest.mark.parametrize("lose", [in_a_weakref_callback, in_del, in_a_library_that_catches_everything])


@LOSSES
def test_a_signal_whose_exception_is_lost_ends_the_block(lose, capsys):
    slept = []

    def lose_and_wait():
        lose()
        slept.append(time.sleep(60))  # the timer interrupts it

    with pytest.raises(Stopped) as stopped, exit_on_signals(requeue=False):
        lose_and_wait()
    assert slept == []  # else it was the end of the block that raised
    assert (stopped.value.code, capsys.readouterr().err) == (143, "stopped by SIGTERM\n")


@LOSSES
def test_a_block_that_ends_after_such_a_loss_ends_as_stopped(lose, capsys):
    with pytest.raises(Stopped), exit_on_signals(requeue=False):
        lose()
    assert capsys.readouterr().err == "stopped by SIGTERM\n"


def test_an_error_that_hides_the_signal_does_not_change_the_status():
    def fail():
        try:
            os.kill(os.getpid(), signal.SIGUSR1)
        except BaseException as error:
            raise RuntimeError from error

    with pytest.raises(Stopped) as stopped, exit_on_signals(requeue=False):
        fail()
    assert stopped.value.code == 138


def test_cleaning_up_is_disturbed_by_a_second_ctrl_c_alone():
    heard = []

    def clean_up():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        finally:
            with suppress(KeyError):
                raise KeyError  # an error within the cleaning up changes nothing
            for signum in (signal.SIGALRM, signal.SIGTERM, signal.SIGUSR1):
                signal.raise_signal(signum)
            heard.append("nothing")
            signal.raise_signal(signal.SIGINT)
            heard.append("not reached")

    with pytest.raises(Stopped) as stopped, exit_on_signals(requeue=False):
        clean_up()
    assert (heard, stopped.value.code) == (["nothing"], 143)


def test_the_block_puts_the_handlers_back(handlers):
    with exit_on_signals(requeue=False):
        pass
    assert {signum: signal.getsignal(signum) for signum in handlers} == handlers


def test_a_block_that_fails_puts_the_handlers_back(handlers):
    with pytest.raises(KeyError), exit_on_signals(requeue=False):
        raise KeyError
    assert {signum: signal.getsignal(signum) for signum in handlers} == handlers


@pytest.fixture
def scontrol(tmp_path, monkeypatch):
    """A function that puts a scontrol in the way, with what it shows of a job; returns the file of its calls."""
    monkeypatch.setenv("SLURM_JOB_ID", "17")

    def put(preempt_time="None", status=0):
        file = tmp_path / "scontrol"
        script = (
            f'echo "$@" >> {tmp_path}/calls; echo "JobId=17 PreemptTime={preempt_time}"; echo no >&2; exit {status}'
        )
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        return tmp_path / "calls"

    return put


def end_by(signum, requeue=True):
    with pytest.raises(Stopped), exit_on_signals(requeue=requeue):
        os.kill(os.getpid(), signum)


def test_a_job_whose_time_is_over_is_queued_again(scontrol, capsys):
    calls = scontrol()
    end_by(signal.SIGUSR1)
    assert calls.read_text() == "requeue 17\n"
    assert capsys.readouterr().err == "stopped by SIGUSR1\nSLURM job 17 is queued again\n"


def test_a_task_of_an_array_is_queued_again_by_its_own_name(scontrol, monkeypatch):
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "15")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    calls = scontrol()
    end_by(signal.SIGUSR2)
    assert calls.read_text() == "requeue 15_2\n"


def test_a_job_that_another_takes_the_place_of_is_queued_again(scontrol):
    calls = scontrol(preempt_time="2026-11-23T00:00:00")
    end_by(signal.SIGTERM)
    assert calls.read_text() == "show job 17\nrequeue 17\n"


def test_a_cancelled_job_is_not_queued_again(scontrol):
    calls = scontrol()
    end_by(signal.SIGTERM)
    assert calls.read_text() == "show job 17\n"


def test_a_job_that_would_begin_anew_is_not_queued_again(scontrol, capsys):
    calls = scontrol()
    end_by(signal.SIGUSR1, requeue=False)
    assert not calls.exists()
    assert "not queued again, since it would start from the beginning: give resume=auto" in capsys.readouterr().err


def test_a_refusal_of_scontrol_is_told(scontrol, capsys):
    scontrol(status=1)
    end_by(signal.SIGUSR1)
    assert "SLURM job 17 is not queued again, scontrol says: no\n" in capsys.readouterr().err
