"""Runs train.py and predict.py for tests: in a process of their own, or here."""

import csv
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from src.core import check as config
from src.training.run import run
from tests.support import zygote

ROOT = Path(__file__).resolve().parents[2]
# One thread: the same sums in the same order, whatever else the machine does.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "WANDB_MODE": "offline", "COLUMNS": "120"}
# Six steps an epoch, and random flips and crops, so that a wrong random state shows.
SMALL = (
    "callbacks=default",
    "~callbacks.report",  # half a second each time
    "callbacks.last.pause_factor=0",  # else the clock would tell which validations are followed by a checkpoint
    "model.net.widths=[5]",
    "datamodule.batch_size=200",
    "datamodule.augmentation.flip=true",
    "datamodule.augmentation.crop_padding=1",
    "trainer.max_epochs=3",
    "trainer.log_every_n_steps=1",
)


def program(name, *arguments, cwd, **environment):
    """The finished process of `python NAME ARGUMENTS`, or of `python -m NAME ...`, with its output as text."""
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
        process = started(name, *arguments, cwd=cwd, stdout=stdout, stderr=stderr, **environment)
        process.wait(timeout=240)
        texts = [(file.seek(0), file.read())[1] for file in (stdout, stderr)]
        return subprocess.CompletedProcess([name, *arguments], process.returncode, *texts)


def started(name, *arguments, cwd, stdout, stderr, **environment):
    """The running process of `python NAME ARGUMENTS`, which writes into two open files."""
    command = [_located(name), *arguments]
    env = {**os.environ, **ENVIRONMENT, **environment}
    return zygote.start(command, cwd=cwd, env=env, stdout=stdout, stderr=stderr)


def _located(name):
    """A file of this project by its path, a module by its name."""
    return str(ROOT / name) if str(name).endswith(".py") else name


def new_process(name, *arguments, cwd, **environment):
    """The finished process of `python NAME ARGUMENTS` in a new interpreter: slow, it imports all anew."""
    return subprocess.run(
        [sys.executable, _located(name), *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **ENVIRONMENT, **environment},
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )


def program_without_torch(name, *arguments, cwd):
    """The finished process of `python NAME ARGUMENTS`; its exit status is 99 if it imported torch."""
    return program("tests/support/without_torch.py", _located(name), *arguments, cwd=cwd, LIGHT="1")


def composed(*overrides, name="train"):
    """The config that these overrides give."""
    return config.composed(list(map(str, overrides)), name)


def run_here(config):
    """Run a config in this process, on one thread; returns its Result."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return run(config)
    finally:
        torch.set_num_threads(threads)


def train_here(run_dir, *overrides):
    """Run digits in this process, on small settings; returns run_dir."""
    run_here(composed(*SMALL, f"run_dir={run_dir}", *overrides))
    return Path(run_dir)


def metrics_of(run_dir):
    return json.loads((Path(run_dir) / "metrics.json").read_text())


def checkpoint_of(run_dir, name="last"):
    return torch.load(Path(run_dir) / "checkpoints" / f"{name}.ckpt", weights_only=True)


def scores_of(run_dir):
    """metrics.json without times and memory, which no seed repeats."""
    measured = ("time/", "memory/", "train/samples_per_second", "train/tokens_per_second")
    return {name: value for name, value in metrics_of(run_dir).items() if not name.startswith(measured)}


def table_of(run_dir):
    """The rows of metrics.csv, without the columns of speed and memory, which no seed repeats."""
    with (Path(run_dir) / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    measured = [name for name in rows[0] if name.startswith("memory/") or name.endswith("_per_second")]
    return [{name: value for name, value in row.items() if name not in measured} for row in rows]


def same(a, b):
    """Whether two nested structures of plain data and tensors are bit for bit the same."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return a == b
