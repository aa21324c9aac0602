"""Ends a program that gets a signal: a line, exit status 128 + its number; SLURM is asked to run it again. No torch."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from src.core.ranks import is_rank_zero

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
WARNINGS = (signal.SIGUSR1, signal.SIGUSR2)  # what sbatch --signal sends before a job's time is over


class Stopped(SystemExit):
    """The end of a program that got a signal; `note` is what else its user should know."""

    def __init__(self, signum: int, note: str = "") -> None:
        super().__init__(128 + signum)
        self.signum = signal.Signals(signum)
        self.note = note


def stop(signum: int, frame: Any) -> NoReturn:
    """A handler that ends the program at once."""
    raise Stopped(signum)


def handle(handler: Any) -> dict[int, Any]:
    """Have `handler` called for each of SIGNALS, if this is the main thread, as Python asks; returns those before."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {signum: signal.signal(signum, handler) for signum in SIGNALS}


def restore(handlers: dict[int, Any]) -> None:
    """Put back what `handle` returned."""
    for signum, handler in handlers.items():
        signal.signal(signum, handler)


@contextmanager
def exit_on_signals(*, requeue: bool) -> Iterator[None]:
    """Within the block a signal raises Stopped, which ends the program with a line on stderr and no traceback.

    In a job of SLURM rank 0 then has the job queued again if `requeue`, last of all, where SLURM is about to end it:
    SIGUSR1 or SIGUSR2 (sbatch --signal) say that its time is running out, SIGTERM that another takes its place.
    """
    before = handle(stop)
    try:
        yield
    except SystemExit as end:  # the handlers stay: what else SLURM sends shall not disturb the end
        if isinstance(end, Stopped) and is_rank_zero():
            _report(end, requeue)
        raise
    except BaseException:
        restore(before)
        raise
    restore(before)


def _report(end: Stopped, requeue: bool) -> None:
    for signum in (signal.SIGTERM, *WARNINGS):
        signal.signal(signum, signal.SIG_IGN)
    sys.stderr.write(f"stopped by {end.signum.name}{end.note}\n")
    if "SLURM_JOB_ID" in os.environ and (end.signum in WARNINGS or (end.signum is signal.SIGTERM and _is_preempted())):
        sys.stderr.write(_queue_again() if requeue else "not queued again, as it would begin anew: give resume=auto\n")


def _job() -> str:
    """What SLURM calls this job; in an array the number alone may be that of the whole array."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]


def _is_preempted() -> bool:
    """Whether another job takes this one's place; scancel, too, sends SIGTERM."""
    shown = _scontrol("show", "job", _job()).stdout
    return "PreemptTime=" in shown and "PreemptTime=None" not in shown


def _queue_again() -> str:
    done = _scontrol("requeue", _job())
    if done.returncode:
        return f"SLURM job {_job()} is not queued again, scontrol says: {done.stderr.strip()}\n"
    return f"SLURM job {_job()} is queued again\n"


def _scontrol(*arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(["scontrol", *arguments], capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(arguments, 1, stdout="", stderr=str(error))
