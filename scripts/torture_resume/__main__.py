"""Kill training runs at random moments, resume them, and compare what they leave with undisturbed runs, bit for bit.

python -m scripts.torture_resume --kills 50 --seed 0
python -m scripts.torture_resume --kills 4 --cases digits,table     # named in torture_cases.py

Compared are all that last.ckpt and best.ckpt hold (weights, averages, optimizer, schedule, loops, random states, hidden
state, callbacks), metrics.csv, metrics.json, the lr finder's curves, text samples and the W&B run id; not times, memory
and paths. A run may be killed several times, in its start-up, too; one without a checkpoint starts anew.
"""

import argparse
import csv
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from scripts.torture_resume.cases import CASES, write_data
from src.core.errors import ROOT

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
START_UP = 0.1  # share of the kills
TIMEOUT_S = 300


@dataclass(frozen=True)
class Life:
    """How long an undisturbed run took, in seconds: until it wrote its config.yaml, and in all."""

    start_up: float
    total: float


class Run:
    """One run of a case in a folder of its own, in as many processes as it takes."""

    def __init__(self, case: str, folder: Path, data_dir: Path) -> None:
        self.folder = folder / "run"
        self.log = folder / "output.txt"
        folder.mkdir()
        places = [f"run_dir={self.folder}", f"data_dir={data_dir}", f"cache_dir={folder}/cache"]
        program = [sys.executable, str(ROOT / "train.py"), "trainer.log_every_n_steps=1"]
        self.command = [*program, *CASES[case].split(), *places]

    def start(self) -> subprocess.Popen[bytes]:
        """A process that goes on from the last checkpoint, or from the beginning if there is none."""
        is_there = (self.folder / "checkpoints" / "last.ckpt").is_file()
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline"}
        with self.log.open("a") as log:
            resume = f"resume={'true' if is_there else 'auto'}"
            return subprocess.Popen([*self.command, resume], env=environment, stdout=log, stderr=log)

    def wait_for_config(self, process: subprocess.Popen[bytes], since: float) -> None:
        """Until the process has written config.yaml, later than `since`, or has ended."""
        path = self.folder / "config.yaml"
        while process.poll() is None and not (path.is_file() and path.stat().st_mtime >= since):
            time.sleep(0.02)

    def finish(self) -> Life:
        """Go on to the end. Raises RuntimeError if it fails."""
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
        table = self.folder / "metrics.csv"
        rows = table.read_text().count("\n") - 1 if table.is_file() else 0
        saved = sorted(path.stem for path in (self.folder / "checkpoints").glob("*.ckpt"))
        return f"{rows} rows, {' and '.join(saved) or 'no checkpoint'}"


def kill(run: Run, life: Life, draw: random.Random) -> str | None:
    """Start a run's process and kill it at a random moment: what happened, or None if the process ended before.

    Raises RuntimeError if it ended in another way than a signal should end it.
    """
    started = time.time()
    process, number = run.start(), draw.choice(SIGNALS)
    is_early = draw.random() < START_UP
    if is_early:
        time.sleep(draw.uniform(0, life.start_up))
    else:
        run.wait_for_config(process, started)
        time.sleep(draw.uniform(0, life.total - life.start_up))
    moment = time.time() - started
    process.send_signal(number)  # nothing, if it has ended
    status = process.wait(TIMEOUT_S)
    if run.is_finished and status in (0, -number):  # the program was gone, if not Python
        return None
    # In a start-up the program's handlers may not be there yet; none is ever there for SIGKILL.
    is_unhandled = status == -number and (is_early or number == signal.SIGKILL)
    if status != 128 + number and not is_unhandled:
        raise RuntimeError(f"{number.name} gave exit status {status}\n{run.log.read_text()[-3000:]}")
    return f"{number.name} after {moment:.1f} s, exit status {status}: {run.state()}"


# ---- what a run leaves ----

MEASURED = ("fit_s", "train_s", "seconds", "time/", "memory/", "_per_second")


def ending(folder: Path) -> dict[str, Any]:
    """All that a run leaves and that another has to leave alike."""
    found: dict[str, Any] = {}
    for name in ("last", "best"):
        found[name] = torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)
    with (folder / "metrics.csv").open(newline="") as file:
        found["metrics.csv"] = list(csv.DictReader(file))
    for pattern in ("samples.txt", "*finder*.csv"):
        found |= {path.name: path.read_text() for path in folder.glob(pattern)}
    found["metrics.json"] = json.loads((folder / "metrics.json").read_text())
    records = [path.name.rpartition("-")[2] for path in folder.glob("wandb/offline-run-*")]
    found["W&B run ids"] = len(set(records))
    return without_paths(found, str(folder))


def without_paths(value: Any, folder: str) -> Any:
    """The value with the folder cut out of its texts, and without what is measured in seconds or megabytes."""
    if isinstance(value, dict):
        kept = {key: part for key, part in value.items() if not any(word in str(key) for word in MEASURED)}
        return {without_paths(key, folder): without_paths(part, folder) for key, part in kept.items()}
    if isinstance(value, list | tuple):
        return [without_paths(part, folder) for part in value]
    return value.replace(folder, "") if isinstance(value, str) else value


def differing(a: Any, b: Any, path: str = "") -> Iterator[str]:
    """The places at which two nested structures are not bit for bit the same."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in {**a, **b}:
            yield from (
                differing(a.get(key), b.get(key), f"{path}/{key}") if key in a and key in b else [f"{path}/{key}"]
            )
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for place, (one, other) in enumerate(zip(a, b, strict=True)):
            yield from differing(one, other, f"{path}/{place}")
    elif isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        if a.dtype != b.dtype or a.shape != b.shape or bits(a) != bits(b):
            yield path
    elif type(a) is not type(b) or repr(a) != repr(b):
        yield path


def bits(tensor: torch.Tensor) -> bytes:
    """A tensor's bytes: numpy knows no bfloat16, and NaN is not equal to itself."""
    return tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()


# ---- the torture ----


def main() -> int:
    """Exit status 1 if a run does not end like the undisturbed one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", default=",".join(CASES), help="which; each in turn")
    parser.add_argument("--keep", type=Path, help="an empty folder for the runs; else they are deleted")
    arguments = parser.parse_args()
    cases = arguments.cases.split(",")
    if unknown := set(cases) - set(CASES):
        parser.error(f"there is no case {', '.join(unknown)}; there are {', '.join(CASES)}")
    with tempfile.TemporaryDirectory() as temporary:
        return torture(arguments.keep or Path(temporary), cases, arguments.kills, arguments.seed)


def torture(folder: Path, cases: list[str], kills: int, seed: int) -> int:
    """Kill and resume runs of the cases, in turn, in an order drawn by the seed; what main returns."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it, and so would its children
    draw = random.Random(seed)
    cases = draw.sample(cases, len(cases))
    data_dir = folder / "data"
    write_data(data_dir)
    whole: dict[str, tuple[Life, dict[str, Any]]] = {}
    done = identical = runs = differing_runs = 0
    while done < kills:
        case = cases[runs % len(cases)]
        runs += 1
        if case not in whole:
            undisturbed = Run(case, folder / case, data_dir)
            whole[case] = undisturbed.finish(), ending(undisturbed.folder)
        life, expected = whole[case]
        run, killed = Run(case, folder / f"{case}_{runs}", data_dir), 0
        for _ in range(draw.randint(1, min(3, kills - done))):
            if (what := kill(run, life, draw)) is None:
                break
            killed += 1
            print(f"{runs:3} {case:14} {what}", flush=True)
        if not run.is_finished:
            run.finish()
        found = list(differing(expected, ending(run.folder)))
        done += killed
        identical += 0 if found else killed
        differing_runs += bool(found)  # one that ended before its first kill, too
        print(f"{runs:3} {case:14} {'differs: ' + ', '.join(found[:9]) if found else 'identical'}", flush=True)
    print(json.dumps({"kills": done, "identical": identical, "runs": runs, "cases": len(whole), "seed": seed}))
    return 1 if differing_runs else 0


if __name__ == "__main__":
    sys.exit(main())
