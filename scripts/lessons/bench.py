"""What the lessons share: trainings set side by side, by train.py's own `run`."""

import csv
import gc
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import instantiate
from matplotlib.figure import Figure
from omegaconf import OmegaConf

import train
from src.callbacks.memory import restart_peak
from src.core.check import check, composed
from src.core.errors import ConfigError
from src.core.run_dir import own_run_dir
from src.training.checkpoint import load_model

# By setting the mean over the seeds and the standard deviation.
Means = dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Lesson:
    """What came of a lesson: its picture, and the measured numbers as plain data."""

    figure: Figure
    numbers: dict[str, Any]


@dataclass(frozen=True)
class Job:
    """A training that has come to its end. setting: what it has of its own among its like, in a word."""

    setting: str
    seed: str
    folder: Path

    @cached_property
    def scores(self) -> dict[str, float]:
        """metrics.json."""
        return json.loads((self.folder / "metrics.json").read_text())

    def curve(self, name: str) -> tuple[list[int], list[float]]:
        """Steps, and the values that metrics.csv has of a metric."""
        with (self.folder / "metrics.csv").open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if row.get(name)]
        return [int(row["step"]) for row in rows], [float(row[name]) for row in rows]

    def model(self) -> Any:
        """The best checkpoint's model, in evaluation mode."""
        return load_model(self.folder / "checkpoints" / "best.ckpt")

    def data(self) -> Any:
        """The datamodule, ready for use."""
        datamodule = instantiate(OmegaConf.load(self.folder / "config.yaml").datamodule, _convert_="all")
        datamodule.prepare_data()
        datamodule.setup("fit")
        return datamodule


class Bench:
    """Where the trainings of a lesson are done.

    overrides: key=value as for train.py, for all of them. A key that a lesson varies may get several values, as in a
    multirun, in place of the lesson's own; `seed` is such a key in each lesson.
    """

    def __init__(self, folder: Path, overrides: Sequence[str]) -> None:
        self.folder = folder
        self.given = {o.key_or_group: o for o in OverridesParser.create().parse_overrides(list(overrides))}
        self.varied = {"seed"}
        self._jobs = 0

    def values(self, key: str, usual: Iterable[Any]) -> list[str]:
        """The values that a lesson gives to a key, one after the other: the user's, or the usual ones."""
        self.varied.add(key)
        given = self.given.get(key)
        if given is None:
            return [str(value) for value in usual]
        return list(given.sweep_string_iterator()) if given.is_sweep_override() else [given.get_value_element_as_str()]

    @property
    def seeds(self) -> list[str]:
        """0, 1 and 2, unless others are given."""
        return self.values("seed", range(3))

    def overrides(self) -> list[str]:
        """What all jobs have in common. Raises ConfigError if several values are given to a key that stays the same."""
        common = [given for key, given in self.given.items() if key not in self.varied]
        for given in common:
            if given.is_sweep_override():
                keys = ", ".join(sorted(self.varied))
                raise ConfigError(f"this lesson varies {keys}: give {given.key_or_group} one value")
        return [str(given.input_line) for given in common]

    def train(self, experiment: str, settings: Mapping[str, Sequence[str]]) -> list[Job]:
        """A job for each setting (its overrides, by its name) and seed.

        All settings have their turn before the next seed has its: what slows the machine down slows all of them.
        """
        jobs = []
        for seed in self.seeds:
            for setting, overrides in settings.items():
                folder = self.folder / str(self._jobs)
                self._jobs += 1
                self._run(folder, [f"experiment={experiment}", *self.overrides(), *overrides, f"seed={seed}"])
                (folder / "job.json").write_text(json.dumps({"setting": setting, "seed": seed}))
                jobs.append(Job(setting, seed, folder))
                print(f"{setting}, seed {seed}: {jobs[-1].scores['time/fit_s']:.1f} s", flush=True)
        return jobs

    def _run(self, folder: Path, overrides: list[str]) -> None:
        # A lesson draws what its trainings have to show: none of them needs a page of its own.
        cfg = composed([*overrides, "~callbacks.report", f"run_dir={folder}", "overwrite=true"])
        check(cfg)
        folder.mkdir(parents=True, exist_ok=True)
        gc.collect()  # trainer, model and data of the job before hold one another
        restart_peak(torch.device("cpu"))
        with (folder / "output.txt").open("w") as output, redirect_stdout(output), own_run_dir(cfg):
            train.run(cfg)


def first(jobs: Iterable[Job], setting: str) -> Job:
    """The job of a setting's first seed."""
    return next(job for job in jobs if job.setting == setting)


def over_seeds(jobs: Iterable[Job], score: str | Callable[[Job], float]) -> Means:
    """Mean and standard deviation of a metric, or of what a function says of a job, for each setting."""
    values: dict[str, list[float]] = {}
    for job in jobs:
        value = job.scores[score] if isinstance(score, str) else score(job)
        values.setdefault(job.setting, []).append(math.nan if value is None else value)
    return {setting: (fmean(found), pstdev(found)) for setting, found in values.items()}
