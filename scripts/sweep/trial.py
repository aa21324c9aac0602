"""One trial of a sweep: a process of train.py, whose scores go to Optuna as they come."""

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

from scripts.sweep.file import Sweep, keys_of_today
from src.core.errors import ROOT, ConfigError
from src.core.run_dir import RunDir

PR_SET_PDEATHSIG = 1  # from Linux's prctl.h


def hold(path: Path) -> int | None:
    """Lock a file while this process, or one that inherits the lock, lives; returns None if another has it."""
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file


def read_scores(path: Path, metric: str) -> list[float]:
    """Read a metric's values in metrics.csv, one for each validation, without a line that is still being written."""
    if not path.is_file():
        return []
    text = path.read_text()
    rows = csv.DictReader(text[: text.rfind("\n") + 1].splitlines())
    return [float(row[metric]) for row in rows if row.get(metric)]


class TrialProcess:
    """A running trial.

    Args:
        trial: Optuna's trial.
        sweep: the sweep it belongs to.
        run_dir: its folder.
        overrides: its own values for train.py.
        reported: how many scores an earlier process has reported.
        lock: from `hold`; the training process inherits it: no other process takes the trial while that one lives.
    """

    def __init__(
        self, trial: Trial, sweep: Sweep, *, run_dir: Path, overrides: dict[str, str], reported: int, lock: int
    ) -> None:
        self.trial, self.run_dir, self.lock = trial, run_dir, lock
        self.is_pruned = False
        self._metric = sweep.metric
        self._best_of = max if sweep.goal == "maximize" else min
        self._reported, self._last_stop = reported, (sweep.early_terminate or {}).get("last_stop", math.inf)
        self._started = time.monotonic()
        self._seconds_before = trial.user_attrs.get("seconds", 0.0)
        overrides = keys_of_today({**sweep.fixed, **overrides, "run_dir": str(run_dir), "resume": "auto"})
        run_dir.mkdir(parents=True, exist_ok=True)
        libc = ctypes.CDLL(None)
        with (run_dir / "output.txt").open("a") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "train.py"), *(f"{key}={value}" for key, value in overrides.items())],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,  # Ctrl-C reaches only the sweep, which then stops its trials
                pass_fds=(lock,),
                preexec_fn=lambda: _end_with_parent(libc),  # noqa: PLW1509 (this program has no threads)
            )

    def report(self) -> None:
        """Report new scores to Optuna, and stop the training if Optuna says so."""
        for score in self._scores()[self._reported :]:
            if self.is_pruned:
                return
            self._reported += 1
            self.trial.report(score, self._reported)
            if self._reported <= self._last_stop and self.trial.should_prune():
                self.is_pruned = True
                self.trial.set_user_attr("pruned", True)  # `claim` reads it if this process is killed now
                self.process.terminate()

    def tell(self, study: Study) -> str:
        """Record how the trial ended and return it in a few words; its score is the best of its validations."""
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
        """Return whether the training reached its end."""
        return self.process.returncode == 0 and RunDir(self.run_dir).finished.is_file()

    def check_metric(self) -> None:
        """Raise ConfigError if a complete training has no such metric: no other trial would have it."""
        if self.is_complete() and self._metric not in self._names():
            raise ConfigError(f"{self._error()}; the sweep is stopped: correct metric, and give --folder NEW")

    def keep_seconds(self) -> None:
        """Record how long all processes of the trial have run."""
        self.trial.set_user_attr("seconds", self._seconds_before + time.monotonic() - self._started)

    def _scores(self) -> list[float]:
        return read_scores(self.run_dir / "metrics.csv", self._metric)

    def _error(self) -> str:
        """Say why there is no score: the last line of train.py, or the names of its metrics."""
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
    """Let Linux send this process a SIGTERM when its parent dies: a killed sweep leaves no training behind."""
    if sys.platform == "linux":
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
