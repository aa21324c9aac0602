"""Run a W&B sweep file without W&B: Optuna chooses, and each trial is a process of train.py.

    python -m scripts.sweep conf/sweep/images_bayes.yaml [--trials 20] [--workers 2] [key=value ...]

The same command again goes on where it stopped, or adds trials if --trials is larger; several at one time (here, or as
the tasks of a SLURM array) share the work. In the sweep's folder, runs/sweeps/NAME: a folder for each trial,
experiment/NAME_best.yaml, history.png, importance.png. See docs/sweeps.md.
"""

import argparse
import math
import os
import shlex
import signal
import sys
import time
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

from scripts.sweep.file import Sweep, check_values, read_sweep
from scripts.sweep.trial import TrialProcess, hold
from src.core.errors import ConfigError

POLL_S = 0.3


class Trials:
    """The trials of a sweep in a folder and a storage, which several of these may share."""

    def __init__(self, sweep: Sweep, folder: Path, storage: str | None, *, total: int | None, seed: int) -> None:
        self.sweep, self.folder, self.seed = sweep, folder, seed
        folder.mkdir(parents=True, exist_ok=True)
        self._alone = FileLock(folder / ".lock")  # one at a time, over all processes that share the folder
        early = dict(sweep.early_terminate or {})
        self._last_stop = early.pop("last_stop", math.inf)
        with self._alone:
            self._study_arguments: dict[str, Any] = {
                "study_name": folder.name,
                "storage": _open_storage(storage or str(folder / "optuna.journal")),
                "pruner": optuna.pruners.SuccessiveHalvingPruner(**early) if early else optuna.pruners.NopPruner(),
            }
            self.study = optuna.create_study(**self._study_arguments, direction=sweep.goal, load_if_exists=True)
            self._compare_with_stored()
        grid = math.prod(len(d.choices) for d in sweep.parameters.values() if isinstance(d, CategoricalDistribution))
        most = grid if sweep.method == "grid" else None
        self.total = min(n for n in (total or sweep.run_cap or most or 20, most) if n)

    def _compare_with_stored(self) -> None:
        """Raise ConfigError if the study was begun with other settings: its trials would not be comparable."""
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
        """Start a trial that nobody runs any more, else a new one; None if there are enough.

        Raises ConfigError if the new one's folder holds another sweep's trial.
        """
        with self._alone:
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
                raise ConfigError(f"{run_dir} is of another sweep: give --folder NEW, or delete it")
            lock = hold(self._lock_of(number))
            assert lock is not None, "only this process makes trials now"
            return self._start(self._study_to_ask(number).ask(), 0, lock)

    def _start(self, trial: Trial, reported: int, lock: int) -> TrialProcess:
        chosen = {name: str(_suggest(trial, name, d)) for name, d in self.sweep.parameters.items()}
        return TrialProcess(
            trial,
            run_dir=self.folder / str(trial.number),
            overrides={**self.sweep.fixed, **chosen},
            metric=self.sweep.metric,
            goal=self.sweep.goal,
            reported=reported,
            last_stop=self._last_stop,
            lock=lock,
        )

    def end(self, process: TrialProcess) -> None:
        """Record the end of a trial, and let go of it. Raises ConfigError if its metric's name is none."""
        words = process.tell(self.study)
        os.close(process.lock)
        print(f"trial {process.trial.number}: {words}  ({process.run_dir})", flush=True)
        process.check_metric()

    def _lock_of(self, number: int) -> Path:
        return self.folder / f".{number}.lock"

    def _study_to_ask(self, number: int) -> optuna.Study:
        """The study with a sampler for one trial, whose draws depend on the seed, the number and the trials so far.

        A sampler for all would begin its draws anew in each process. And its own study: at the grid's end GridSampler
        stops the study that is told of a trial, which is an error outside of `optimize`.
        """
        seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        return optuna.load_study(**self._study_arguments, sampler=self._sampler(seed))

    def _sampler(self, seed: int) -> BaseSampler:
        if self.sweep.method == "grid":
            choices = {n: d.choices for n, d in self.sweep.parameters.items() if isinstance(d, CategoricalDistribution)}
            return GridSampler(choices, seed=self.seed)
        return RandomSampler(seed) if self.sweep.method == "random" else TPESampler(seed=seed)


def _suggest(trial: Trial, name: str, distribution: Any) -> Any:
    """A parameter's value: the one that the trial has already, else a new one."""
    match distribution:
        case CategoricalDistribution():
            return trial.suggest_categorical(name, distribution.choices)
        case IntDistribution():
            return trial.suggest_int(name, distribution.low, distribution.high)
        case FloatDistribution():
            d = distribution
            return trial.suggest_float(name, d.low, d.high, step=d.step, log=d.log)


def _open_storage(address: str) -> BaseStorage:
    """A database if it is an address with ://, else a journal file, which also works on a network's disk."""
    if "://" in address:
        return optuna.storages.get_storage(address)
    return JournalStorage(JournalFileBackend(address))


class StopSignal:
    """Remembers a Ctrl-C or a SIGTERM; at the second one the program ends at once."""

    def __init__(self) -> None:
        self.number: int | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._remember)

    def _remember(self, number: int, frame: Any) -> None:
        if self.number:
            os._exit(128 + number)
        self.number = number


def run_trials(trials: Trials, workers: int, stop: StopSignal) -> None:
    """Keep `workers` trials running until there are enough; after a signal, until those that run have saved."""
    running: list[TrialProcess] = []
    try:
        while True:
            while not stop.number and len(running) < workers and (process := trials.claim()):
                running.append(process)
            if stop.number or not running:
                break
            time.sleep(POLL_S)
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


def main() -> None:
    """Read the arguments, run the trials, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="a W&B sweep file, as in conf/sweep")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="for train.py; come before the file's")
    parser.add_argument("--trials", type=int, help="of the whole sweep; default: the file's run_cap, a grid's size, 20")
    parser.add_argument("--workers", type=int, default=1, help="trials at one time")
    parser.add_argument("--folder", type=Path, help="default: runs/sweeps/NAME")
    parser.add_argument("--storage", help="sqlite:///PATH or a journal file; default: optuna.journal in the folder")
    parser.add_argument("--seed", type=int, default=0, help="of the choices; train.py's own is a key like others")
    args = parser.parse_intermixed_args()
    if args.workers < 1 or (args.trials or 1) < 1:
        parser.error(f"--workers and --trials must be 1 or more, got {args.workers} and {args.trials}")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // args.workers)))
    stop = StopSignal()
    try:
        sweep = read_sweep(args.file, args.overrides)
        check_values(sweep)
        folder = args.folder or Path("runs/sweeps", args.file.stem)
        trials = Trials(sweep, folder, args.storage, total=args.trials, seed=args.seed)
        run_trials(trials, args.workers, stop)
    except ConfigError as error:
        parser.exit(1, f"error: {error}\n")
    if stop.number:
        command = shlex.join(["python", "-m", "scripts.sweep", *sys.argv[1:]])
        sys.stderr.write(f"stopped; nothing is lost. Go on: {command}\n")
        sys.exit(128 + stop.number)
    from scripts.sweep.report import report  # imports torch, by way of Lightning

    report(trials.study, sweep, folder)
    has_more = trials.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.RUNNING))
    sys.exit(0 if has_more else 1)


if __name__ == "__main__":
    main()
