"""What the lessons share: trainings set side by side, done by train.py's own code."""

import gc
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

import pandas as pd
import torch
from hydra.core.override_parser.overrides_parser import OverridesParser
from matplotlib.figure import Figure

from src.callbacks.memory import restart_peak
from src.core.errors import ConfigError
from src.core.files import write_text
from src.core.output import show
from src.core.run_dir import RunDir
from src.core.saved_config import read_saved_config
from src.training.checkpoint import load_model
from src.training.run import fit
from src.training.saved_parts import build

# The mean over the seeds and the standard deviation, by setting.
Means = dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Lesson:
    """The result of a lesson: its figure, and the measured numbers as plain data."""

    figure: Figure
    numbers: dict[str, Any]


@dataclass(frozen=True)
class Job:
    """A finished training; `setting` names what distinguishes it from the others of its lesson."""

    setting: str
    seed: str
    scores: dict[str, float]
    run: RunDir

    def curve(self, name: str) -> tuple[list[int], list[float]]:
        """Read the steps and the values of a metric."""
        rows = pd.read_csv(self.run.metrics_csv)[["step", name]].dropna()
        return rows["step"].tolist(), rows[name].tolist()

    def model(self) -> Any:
        """Load the best checkpoint's model, in evaluation mode."""
        return load_model(self.run.best_ckpt)

    def data(self) -> Any:
        """Build the datamodule, ready for use."""
        path = self.run.config_yaml
        datamodule = build(read_saved_config(path)["datamodule"], path, ["src.datamodules"])
        datamodule.prepare_data()
        datamodule.setup("fit")
        return datamodule


class Bench:
    """Trains for one lesson.

    Args:
        folder: gets a folder for each training.
        overrides: key=value for all trainings. A key that the lesson varies may get several values, as in a multirun,
            instead of the lesson's own; `seed` is such a key in each lesson.
    """

    def __init__(self, folder: Path, overrides: Sequence[str]) -> None:
        self.folder = folder
        self.given = {o.key_or_group: o for o in OverridesParser.create().parse_overrides(list(overrides))}
        self.varied = {"seed"}
        self._jobs = 0

    def values(self, key: str, usual: Iterable[Any]) -> list[str]:
        """Choose the values that the lesson gives to a key, one after the other: the user's, or the usual ones."""
        self.varied.add(key)
        given = self.given.get(key)
        if given is None:
            return [str(value) for value in usual]
        return list(given.sweep_string_iterator()) if given.is_sweep_override() else [given.get_value_element_as_str()]

    @property
    def seeds(self) -> list[str]:
        """The seeds: 0, 1 and 2, unless others are given."""
        return self.values("seed", range(3))

    def overrides(self) -> list[str]:
        """Take what all jobs share; raises ConfigError if a key that the lesson does not vary has several values."""
        common = [given for key, given in self.given.items() if key not in self.varied]
        for given in common:
            if given.is_sweep_override():
                keys = ", ".join(sorted(self.varied))
                raise ConfigError(f"this lesson varies {keys}: give {given.key_or_group} one value")
        return [str(given.input_line) for given in common]

    def train(self, experiment: str, settings: Mapping[str, Sequence[str]]) -> list[Job]:
        """Train each setting (its overrides, by its name) with each seed.

        All settings take their turn before the next seed: whatever slows the machine down slows all of them.
        """
        jobs = []
        for seed in self.seeds:
            for setting, overrides in settings.items():
                job = self._trained(setting, seed, [f"experiment={experiment}", *self.overrides(), *overrides])
                jobs.append(job)
                show(f"{setting}, seed {seed}: {job.scores['time/fit_s']:.1f} s")
        return jobs

    def _trained(self, setting: str, seed: str, overrides: list[str]) -> Job:
        folder = self.folder / str(self._jobs)
        self._jobs += 1
        gc.collect()  # trainer, model and data of the previous job refer to one another
        restart_peak(torch.device("cpu"))
        # A lesson draws what its trainings show: none of them needs a report of its own.
        places = ["~callbacks.report", f"run_dir={folder}", "overwrite=true", "quiet=true"]
        done = fit([*overrides, f"seed={seed}", *places])
        write_text(folder / "job.json", json.dumps({"setting": setting, "seed": seed}))
        return Job(setting, seed, done.scores, done.run_dir)


def first(jobs: Iterable[Job], setting: str) -> Job:
    """Find the job of a setting's first seed."""
    return next(job for job in jobs if job.setting == setting)


def over_seeds(jobs: Iterable[Job], score: str | Callable[[Job], float]) -> Means:
    """Take mean and standard deviation of a metric, or of a function of the job, for each setting."""
    values: dict[str, list[float]] = {}
    for job in jobs:
        values.setdefault(job.setting, []).append(job.scores[score] if isinstance(score, str) else score(job))
    return {setting: (fmean(found), pstdev(found)) for setting, found in values.items()}
