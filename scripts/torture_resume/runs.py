"""Runs that are killed and go on."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from scripts.torture_resume.cases import CASES
from src.core.errors import ROOT

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
EARLY_SHARE = 0.1  # of the kills: during the start
TIMEOUT_S = 300


@dataclass(frozen=True)
class Life:
    """The seconds of an undisturbed run until it wrote its config.yaml, and in all."""

    start_up: float
    total: float


class Run:
    """One run of a case in a folder of its own, in as many processes as it needs."""

    def __init__(self, case: str, folder: Path, data_dir: Path) -> None:
        self.folder = folder / "run"
        self.log = folder / "output.txt"
        folder.mkdir()
        places = [f"run_dir={self.folder}", f"data_dir={data_dir}", f"cache_dir={folder}/cache"]
        program = [sys.executable, str(ROOT / "train.py"), "trainer.log_every_n_steps=1"]
        self.command = [*program, *CASES[case].split(), *places]

    def start(self) -> subprocess.Popen[bytes]:
        """Start a process that goes on from the last checkpoint, or from the beginning if there is none."""
        has_checkpoint = (self.folder / "checkpoints" / "last.ckpt").is_file()
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}
        with self.log.open("a") as log:
            resume = f"resume={'true' if has_checkpoint else 'auto'}"
            command = [*self.command, resume]
            return subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)

    def wait_for_config(self, process: subprocess.Popen[bytes], since: float) -> None:
        """Wait until the process has written config.yaml, later than `since`, or has ended."""
        path = self.folder / "config.yaml"
        while process.poll() is None and not (path.is_file() and path.stat().st_mtime >= since):
            time.sleep(0.02)

    def finish(self) -> Life:
        """Go on to the end.

        Raises:
            RuntimeError: the process failed.
        """
        started = time.time()
        process = self.start()
        self.wait_for_config(process, started)
        start_up = time.time() - started
        if process.wait(TIMEOUT_S):
            raise RuntimeError(f"{' '.join(self.command)}\n{self.log.read_text()[-3000:]}")
        return Life(start_up, time.time() - started)

    @property
    def is_finished(self) -> bool:
        return (self.folder / "finished").is_file()

    def state(self) -> str:
        """Describe what lies in the folder."""
        table = self.folder / "metrics.csv"
        rows = table.read_text().count("\n") - 1 if table.is_file() else 0
        saved = sorted(path.stem for path in (self.folder / "checkpoints").glob("*.ckpt"))
        return f"{rows} rows, {' and '.join(saved) or 'no checkpoint'}"


def kill_all(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and those that it has started, the other ranks, at one moment."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def kill(run: Run, life: Life, draw: random.Random) -> str | None:
    """Start a run's process and kill it at a random moment.

    Returns:
        What happened, or None if the process ended before.

    Raises:
        RuntimeError: the process ended otherwise than the signal should end it.
    """
    started = time.time()
    process, number = run.start(), draw.choice(SIGNALS)
    is_early = draw.random() < EARLY_SHARE
    if is_early:
        time.sleep(draw.uniform(0, life.start_up))
    else:
        run.wait_for_config(process, started)
        time.sleep(draw.uniform(0, life.total - life.start_up))
    moment = time.time() - started
    if number == signal.SIGKILL:
        kill_all(process)
    else:
        process.send_signal(number)  # has no effect if it has ended
    status = process.wait(TIMEOUT_S)
    kill_all(process)  # the ranks that it may have left
    if run.is_finished and status in (0, -number):  # the training was over, and Python perhaps not
        return None
    # Early in its start a program has no handlers yet; it never has one for SIGKILL.
    is_unhandled = status == -number and (is_early or number == signal.SIGKILL)
    if status != 128 + number and not is_unhandled:
        raise RuntimeError(f"{number.name} gave exit status {status}\n{run.log.read_text()[-3000:]}")
    return f"{number.name} after {moment:.1f} s, exit status {status}: {run.state()}"
