"""Ends a program that gets a signal with a line and exit status 128 + its number; requeues a SLURM job. No torch."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from src.core.ranks import is_rank_zero

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
RETRY_S = 0.05
WARNINGS = (signal.SIGUSR1, signal.SIGUSR2)  # sbatch --signal sends one before a job's time is over

NOT_QUEUED = "not queued again, since it would start from the beginning: give resume=auto"


class Stopped(SystemExit):
    """The end of a program that got a signal; `note` follows in the line that says so."""

    def __init__(self, signum: int, note: str = "") -> None:
        super().__init__(128 + signum)
        self.signum = signal.Signals(signum)
        self.note = note


class _AtOnce:
    """A handler that ends the program at once by raising Stopped, and again if that was lost.

    Python drops an exception that is raised while it runs a weakref callback or a `__del__`, and a library may catch
    it. A timer therefore calls the handler again, until the program ends. While it ends nothing is raised, because that
    would disturb the cleaning up; only a further Ctrl-C does it.
    """

    def __init__(self) -> None:
        self.signum = 0  # the first signal

    def __call__(self, signum: int, frame: Any) -> None:
        self.signum = self.signum or signum
        signal.setitimer(signal.ITIMER_REAL, RETRY_S)
        if signum == signal.SIGINT or not _is_ending():
            raise Stopped(self.signum)

    @contextmanager
    def repeated(self) -> Iterator[None]:
        """Within the block the timer may call. Its end raises what was lost, or hidden by another exception."""
        hook, alarm = sys.unraisablehook, signal.signal(signal.SIGALRM, self)
        sys.unraisablehook = lambda lost: None if isinstance(lost.exc_value, Stopped) else hook(lost)  # no traceback
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, alarm)
            sys.unraisablehook = hook
            if self.signum and not isinstance(sys.exception(), Stopped):
                raise Stopped(self.signum)


def _is_ending() -> bool:
    """Whether some block is being left because of Stopped."""
    error = sys.exception()
    while error is not None and not isinstance(error, Stopped):
        error = error.__context__
    return error is not None


def handle(handler: Any) -> dict[int, Any]:
    """Set the handler of all SIGNALS and return the handlers before; only the main thread may, others do nothing."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {signum: signal.signal(signum, handler) for signum in SIGNALS}


def restore(handlers: dict[int, Any]) -> None:
    """Set the handlers that `handle` returned."""
    for signum, handler in handlers.items():
        signal.signal(signum, handler)


@contextmanager
def exit_on_signals(*, requeue: bool) -> Iterator[None]:
    """Within the block a signal raises Stopped, which ends the program with a line on stderr and no traceback.

    If SLURM is about to end the job, rank 0 queues it again as its last act: SIGUSR1 or SIGUSR2 (sbatch --signal) mean
    that its time is running out, SIGTERM that another job takes its place. Call it in the main thread.

    Args:
        requeue: whether to queue the job again; False if it would start from the beginning.
    """
    at_once = _AtOnce()
    before = handle(at_once)
    try:
        with at_once.repeated():
            yield
    except SystemExit as end:
        handle(signal.SIG_IGN)  # further signals of SLURM must not disturb the end
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if isinstance(end, Stopped) and is_rank_zero():
            _report(end, requeue)
        raise
    except BaseException:
        restore(before)
        raise
    restore(before)


def _report(end: Stopped, requeue: bool) -> None:
    sys.stderr.write(f"stopped by {end.signum.name}{end.note}\n")
    if "SLURM_JOB_ID" in os.environ and (end.signum in WARNINGS or (end.signum is signal.SIGTERM and _is_preempted())):
        sys.stderr.write(f"{_queue_again() if requeue else NOT_QUEUED}\n")


def _job() -> str:
    """SLURM's name of this job; in an array the number alone may mean the whole array."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]


def _is_preempted() -> bool:
    """Whether another job takes this one's place; scancel sends SIGTERM as well."""
    shown = _scontrol("show", "job", _job()).stdout
    return "PreemptTime=" in shown and "PreemptTime=None" not in shown


def _queue_again() -> str:
    done = _scontrol("requeue", _job())
    if done.returncode:
        return f"SLURM job {_job()} is not queued again, scontrol says: {done.stderr.strip()}"
    return f"SLURM job {_job()} is queued again"


def _scontrol(*arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(["scontrol", *arguments], capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(arguments, 1, stdout="", stderr=str(error))
