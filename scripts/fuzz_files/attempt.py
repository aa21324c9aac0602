"""Runs a function in a forked process, and says how it ended: what it wrote, how much memory it took."""

import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SECONDS = 60
ALLOWED = ("error: ", "note: ", "warning: ")
SPARE = 4 << 30  # bytes of address space beyond the parent's: no attempt takes the machine's whole memory


@dataclass(frozen=True)
class Ending:
    """How an attempt ended.

    Attributes:
        status: exit status, negative for a signal.
        text: what it wrote to stderr.
        memory: bytes that it had at most, beyond those that it began with.
    """

    status: int
    text: str
    memory: int

    def fault(self, max_memory: int) -> str | None:
        """What is wrong with this ending; None for a right result or an error of one or two lines."""
        lines = [line for line in self.text.splitlines() if line.strip()]
        if self.status < 0:
            return "no answer in time" if self.status == -signal.SIGALRM else f"killed by signal {-self.status}"
        if "Traceback (most recent call last)" in self.text:
            return f"traceback: {lines[-1][:200]}"
        if self.memory > max_memory:
            return f"took {self.memory >> 20:,} MB"
        if self.status and not any(line.startswith("error: ") for line in lines):
            return f"status {self.status} without an error: {lines[-1][:200] if lines else 'no words'}"
        errors = lines[next((n for n, line in enumerate(lines) if line.startswith("error: ")), len(lines)) :]
        return f"an error of {len(errors)} lines" if len(errors) > 2 and "left out" not in errors[0] else None


def attempt(function: Callable[[], object], folder: Path) -> Ending:
    """Fork, call the function in a folder with its output in files there, and wait for its end."""
    log = folder / "stderr.txt"
    child = os.fork()
    if child == 0:
        _run(function, folder, log)
    _, status, _ = os.wait4(child, 0)
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    text, _, memory = text.rpartition("\nmemory ")
    return Ending(os.waitstatus_to_exitcode(status), text, int(memory or 0))


def _run(function: Callable[[], object], folder: Path, log: Path) -> None:
    """Does not return."""
    status = 1
    try:
        os.chdir(folder)
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 2)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        signal.alarm(SECONDS)
        pages = Path("/proc/self/statm").read_text().split()
        limit = int(pages[0]) * resource.getpagesize() + SPARE
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            function()
            status = 0
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        except BaseException:
            traceback.print_exc()
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        sys.stderr.write(f"\nmemory {grown * 1024}")
        sys.stderr.flush()
    finally:
        os._exit(status)
