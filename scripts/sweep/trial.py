"""One trial of a sweep: train.py in a process of its own, whose scores are reported to Optuna as they come."""

import csv
import ctypes
import fcntl
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from optuna import Study
from optuna.trial import Trial, TrialState

from src.core.errors import ROOT, ConfigError
from src.core.run_dir import RunDir

PR_SET_PDEATHSIG = 1  # of Linux's prctl.h


def hold(path: Path) -> int | None:
    """A lock on a file, kept while this process or one that inherits it lives; None if another has it."""
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file


def read_scores(path: Path, metric: str) -> list[float]:
    """A metric's values in metrics.csv, one for each validation; the line that is being written is left out."""
    if not path.is_file():
        return []
    text = path.read_text()
    rows = csv.DictReader(text[: text.rfind("\n") + 1].splitlines())
    return [float(row[metric]) for row in rows if row.get(metric)]


class TrialProcess:
    """A running trial.

    overrides: of train.py, without run_dir and resume.  reported: scores that Optuna has had from an earlier process.
    last_stop: after as many validations it may be stopped the last time.
    lock: from `hold`; the training process holds it, too, so that the trial is nobody else's while that lives.
    """

    def __init__(
        self,
        trial: Trial,
        *,
        run_dir: Path,
        overrides: dict[str, str],
        metric: str,
        goal: str,
        reported: int,
        last_stop: float,
        lock: int,
    ) -> None:
        self.trial, self.run_dir, self.lock = trial, run_dir, lock
        self.is_pruned = False
        self._metric = metric
        self._best_of = max if goal == "maximize" else min
        self._reported, self._last_stop = reported, last_stop
        self._started = time.monotonic()
        self._seconds_before = trial.user_attrs.get("seconds", 0.0)
        overrides = {**overrides, "run_dir": str(run_dir), "resume": "auto"}
        run_dir.mkdir(parents=True, exist_ok=True)
        libc = ctypes.CDLL(None)
        with (run_dir / "output.txt").open("a") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "train.py"), *(f"{key}={value}" for key, value in overrides.items())],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,  # Ctrl-C reaches the sweep alone, which then stops its trials
                pass_fds=(lock,),
                preexec_fn=lambda: _end_with_parent(libc),  # noqa: PLW1509 (this program has no threads)
            )

    def report(self) -> None:
        """Tell Optuna of new scores, and stop the training if Optuna says so."""
        for score in self._scores()[self._reported :]:
            if self.is_pruned:
                return
            self._reported += 1
            self.trial.report(score, self._reported)
            if self._reported <= self._last_stop and self.trial.should_prune():
                self.is_pruned = True
                self.trial.set_user_attr("pruned", True)  # for `claim`, should this process be killed now
                self.process.terminate()

    def tell(self, study: Study) -> str:
        """Record how the trial ended, and say it in a few words. Its score is the best of its validations."""
        scores = [score for score in self._scores() if math.isfinite(score)]
        number = self.trial.number
        self.keep_seconds()
        if self.is_complete() and scores:
            study.tell(number, self._best_of(scores))
            return f"{self._metric} {self._best_of(scores):.4g}"
        if self.is_pruned:
            study.tell(number, state=TrialState.PRUNED)
            return f"stopped early, after {self._reported} validations"
        error = self._error()
        self.trial.set_user_attr("error", error)
        study.tell(number, state=TrialState.FAIL)
        return f"failed: {error}"

    def is_complete(self) -> bool:
        """Whether the training has come to its own end."""
        return self.process.returncode == 0 and RunDir(self.run_dir).finished.is_file()

    def check_metric(self) -> None:
        """Raise ConfigError if the training has come to its own end and knows no such metric: no other one would."""
        if self.is_complete() and self._metric not in self._names():
            raise ConfigError(f"{self._error()}; the sweep is stopped: mend metric, and give --folder NEW")

    def keep_seconds(self) -> None:
        """Record for how long the trial has run, over all its processes."""
        self.trial.set_user_attr("seconds", self._seconds_before + time.monotonic() - self._started)

    def _scores(self) -> list[float]:
        return read_scores(self.run_dir / "metrics.csv", self._metric)

    def _error(self) -> str:
        """Why there is no score: train.py's last words, or what the metrics are called."""
        code = self.process.returncode
        if code < 0:
            return f"ended by {signal.Signals(-code).name}, see {self.run_dir}/output.txt"
        if code > 0:
            lines = (self.run_dir / "output.txt").read_text(errors="replace").split("\n")
            return next((line for line in reversed(lines) if line.strip()), f"exit status {code}").strip()
        if not self.is_complete():
            return "was stopped before its end"
        return f"metrics.csv has no finite {self._metric}; it has {', '.join(n for n in self._names() if 'val/' in n)}"

    def _names(self) -> list[str]:
        path = self.run_dir / "metrics.csv"
        return path.read_text().split("\n")[0].split(",") if path.is_file() else []


def _end_with_parent(libc: ctypes.CDLL) -> None:
    """Have Linux send this process a SIGTERM when its parent dies: a sweep that is killed leaves no training behind."""
    if sys.platform == "linux":
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
