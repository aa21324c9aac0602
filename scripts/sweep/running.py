"""Keeps the trials of a sweep running until there are enough, or a signal comes."""

import os
import signal
import time
from collections.abc import Callable
from typing import Any

from scripts.sweep.trial import TrialProcess
from scripts.sweep.trials import Trials

POLL_S = 0.3


class StopSignal:
    """Remembers a Ctrl-C or a SIGTERM; the second one ends the program at once."""

    def __init__(self) -> None:
        self.number: int | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._remember)

    def _remember(self, number: int, frame: Any) -> None:
        if self.number:
            os._exit(128 + number)
        self.number = number


def run_trials(
    trials: Trials, workers: int, stop: StopSignal, *, wait: Callable[[], None] = lambda: time.sleep(POLL_S)
) -> None:
    """Keep `workers` trials running until there are enough; after a signal, until the running ones have saved."""
    running: list[TrialProcess] = []
    try:
        while True:
            while not stop.number and len(running) < workers and (process := trials.claim()):
                running.append(process)
            if stop.number or not running:
                break
            wait()
            for process in list(running):
                has_ended = process.process.poll() is not None
                process.report()
                if has_ended and not stop.number:
                    running.remove(process)
                    trials.end(process)
    finally:
        _stop(trials, running)


def _stop(trials: Trials, running: list[TrialProcess]) -> None:
    for process in running:
        process.process.terminate()
    for process in running:
        process.process.wait()
        if process.is_complete() or process.is_pruned:
            process.report()
            trials.end(process)
        else:
            process.keep_seconds()
