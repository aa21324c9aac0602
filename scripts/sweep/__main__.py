"""Runs a W&B sweep file without W&B: Optuna chooses, and each trial is a process of train.py.

    python -m scripts.sweep conf/sweep/images_bayes.yaml [--trials 20] [--workers 2] [key=value ...]

The same command again continues a stopped sweep, or adds trials if --trials is larger; several at one time (here, or as
tasks of a SLURM array) share the work. The sweep's folder, runs/sweeps/NAME, gets a folder for each trial,
experiment/NAME_best.yaml, history.png and importance.png. See docs/sweeps.md.
"""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import optuna
from optuna.trial import TrialState

from scripts.shared.arguments import command_line
from scripts.sweep.file import check_values, read_sweep
from scripts.sweep.running import StopSignal, run_trials
from scripts.sweep.trials import Trials
from src.core.explain import readable_errors
from src.core.output import note


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the trials and report; exit status 1 without any score."""
    parser = command_line("sweep", __doc__)
    parser.add_argument("file", type=Path, help="a W&B sweep file, as in conf/sweep")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="for train.py; they replace the file's")
    parser.add_argument("--trials", type=int, help="of the whole sweep; default: the file's run_cap, a grid's size, 20")
    parser.add_argument("--workers", type=int, default=1, help="trials at one time")
    parser.add_argument("--folder", type=Path, help="default: runs/sweeps/NAME")
    parser.add_argument("--storage", help="sqlite:///PATH or a journal file; default: optuna.journal in the folder")
    parser.add_argument("--seed", type=int, default=0, help="of the choices; the seed of train.py is a key like others")
    args = parser.parse_intermixed_args(arguments)
    if args.workers < 1 or (args.trials or 1) < 1:
        parser.error(f"--workers and --trials must be 1 or more, got {args.workers} and {args.trials}")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // args.workers)))
    stop = StopSignal()
    with readable_errors("train"):
        sweep = read_sweep(args.file, args.overrides)
        check_values(sweep)
        folder = args.folder or Path("runs/sweeps", args.file.stem)
        trials = Trials(sweep, folder, args.storage, total=args.trials, seed=args.seed)
        run_trials(trials, args.workers, stop)
    if stop.number:
        command = shlex.join(["python", "-m", "scripts.sweep", *(sys.argv[1:] if arguments is None else arguments)])
        note(f"the sweep was stopped, nothing is lost. Go on: {command}")
        sys.exit(128 + stop.number)
    from scripts.sweep.report import report  # imports torch through Lightning

    report(trials.study, sweep, folder)
    has_more = trials.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.RUNNING))
    sys.exit(0 if has_more else 1)


if __name__ == "__main__":
    main()
