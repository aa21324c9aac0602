"""The trials of a sweep: who chooses their values, and which process runs which."""

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from filelock import FileLock
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, GridSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import Trial, TrialState

from scripts.sweep.file import Sweep
from scripts.sweep.trial import TrialProcess, hold
from src.core.errors import ConfigError
from src.core.output import show

USUAL_TOTAL = 20


class Trials:
    """The trials of a sweep in a folder and a storage, which several processes may share."""

    def __init__(self, sweep: Sweep, folder: Path, storage: str | None, *, total: int | None, seed: int) -> None:
        self.sweep, self.folder, self.seed = sweep, folder, seed
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(folder / ".lock")  # one process at a time, of all that share the folder
        early = dict(sweep.early_terminate or {})
        early.pop("last_stop", None)  # Optuna does not have it
        with self._lock:
            self._study_arguments: dict[str, Any] = {
                "study_name": folder.name,
                "storage": _open_storage(storage or str(folder / "optuna.journal")),
                "pruner": optuna.pruners.SuccessiveHalvingPruner(**early) if early else optuna.pruners.NopPruner(),
            }
            self.study = optuna.create_study(**self._study_arguments, direction=sweep.goal, load_if_exists=True)
            self._compare_with_stored()
        grid = math.prod(len(d.choices) for d in sweep.parameters.values() if isinstance(d, CategoricalDistribution))
        max_total = grid if sweep.method == "grid" else None
        self.total = min(n for n in (total or sweep.run_cap or max_total or USUAL_TOTAL, max_total) if n)

    def _compare_with_stored(self) -> None:
        """Raise ConfigError if the study began with other settings: its trials would not be comparable."""
        sweep, stored = self.sweep, self.study.user_attrs.get("settings")
        settings = {
            "method": sweep.method,
            "metric": [sweep.metric, sweep.goal],
            "fixed": sweep.fixed,
            "parameters": {name: str(distribution) for name, distribution in sweep.parameters.items()},
            "early_terminate": sweep.early_terminate,
            "seed": self.seed,
        }
        if stored is None:
            self.study.set_user_attr("settings", settings)
        elif stored != settings:
            changed = ", ".join(key for key in settings if stored.get(key) != settings[key])
            raise ConfigError(f"{self.folder} holds a sweep with another {changed}: give --folder NEW, or what it had")

    def claim(self) -> TrialProcess | None:
        """Start a trial that no process runs any more, or else a new one; returns None if there are enough.

        Raises:
            ConfigError: the folder of the new trial holds a trial of another sweep.
        """
        with self._lock:
            for old in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                lock = hold(self._lock_of(old.number))
                if lock is not None and old.user_attrs.get("pruned"):
                    self.study.tell(old.number, state=TrialState.PRUNED)
                    os.close(lock)
                elif lock is not None:
                    return self._start(Trial(self._study_to_ask(old.number), old._trial_id), old.last_step or 0, lock)
            number = len(self.study.get_trials(deepcopy=False))
            if number >= self.total:
                return None
            run_dir = self.folder / str(number)
            if run_dir.is_dir() and any(run_dir.iterdir()):
                raise ConfigError(f"{run_dir} belongs to another sweep: give --folder NEW, or delete it")
            lock = hold(self._lock_of(number))
            assert lock is not None, "no other process makes trials now"
            return self._start(self._study_to_ask(number).ask(), 0, lock)

    def _start(self, trial: Trial, reported: int, lock: int) -> TrialProcess:
        chosen = {name: str(_suggest(trial, name, d)) for name, d in self.sweep.parameters.items()}
        run_dir = self.folder / str(trial.number)
        return TrialProcess(trial, self.sweep, run_dir=run_dir, overrides=chosen, reported=reported, lock=lock)

    def end(self, process: TrialProcess) -> None:
        """Record the end of a trial and release it; raises ConfigError if the sweep's metric does not exist."""
        words = process.tell(self.study)
        os.close(process.lock)
        show(f"trial {process.trial.number}: {words}  ({process.run_dir})")
        process.check_metric()

    def _lock_of(self, number: int) -> Path:
        return self.folder / f".{number}.lock"

    def _study_to_ask(self, number: int) -> optuna.Study:
        """Load the study with a sampler for one trial: its draws depend on the seed, the number and the trials so far.

        One sampler for all trials would repeat its draws in each process. The study is a new object, since at the end
        of a grid GridSampler stops the study of the last trial, which is an error outside `optimize`.
        """
        seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        return optuna.load_study(**self._study_arguments, sampler=self._sampler(seed))

    def _sampler(self, seed: int) -> BaseSampler:
        if self.sweep.method == "grid":
            choices = {n: d.choices for n, d in self.sweep.parameters.items() if isinstance(d, CategoricalDistribution)}
            return GridSampler(choices, seed=self.seed)
        return RandomSampler(seed) if self.sweep.method == "random" else TPESampler(seed=seed)


def _suggest(trial: Trial, name: str, distribution: Any) -> Any:
    """Take a parameter's value from the trial, if it has one, or draw it."""
    match distribution:
        case CategoricalDistribution():
            return trial.suggest_categorical(name, distribution.choices)
        case IntDistribution():
            return trial.suggest_int(name, distribution.low, distribution.high)
        case FloatDistribution():
            d = distribution
            return trial.suggest_float(name, d.low, d.high, step=d.step, log=d.log)


def _open_storage(address: str) -> BaseStorage:
    """Open a database if the address has ://, else a journal file, which also works on a network's disk."""
    if "://" in address:
        return optuna.storages.get_storage(address)
    return JournalStorage(JournalFileBackend(address))
