"""Registers a sweep file with Weights & Biases, then runs its trials here, one after another.

    python -m scripts.wandb_sweep conf/sweep/tables_bayes.yaml [--count 20]     (make sweep SWEEP=... does the same)

More machines join with the command that it shows. It needs an account; without one: python -m scripts.sweep FILE.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import wandb
import yaml

from scripts.shared.arguments import command_line
from scripts.sweep.file import check_values, read_sweep
from src.core.errors import ConfigError
from src.core.explain import readable_errors
from src.core.output import show
from src.loggers.wandb_logger import is_logged_in


def main(arguments: Sequence[str] | None = None) -> None:
    """Check the file, register it, become an agent."""
    parser = command_line("wandb_sweep", __doc__)
    parser.add_argument("file", type=Path, help="a sweep file, as in conf/sweep")
    parser.add_argument("--count", type=int, help="trials of this agent; default: until the sweep ends")
    args = parser.parse_args(arguments)
    with readable_errors("train"):
        config = checked(args.file)
    sweep = f"{config['project']}/{wandb.sweep(config)}"
    show(f"more agents: wandb agent {sweep}   on SLURM: sbatch --array=1-4 scripts/slurm/agent.sbatch {sweep}")
    # The agent starts `python` by its name: it must find this one.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    count = ["--count", str(args.count)] if args.count else []
    os.execvp("wandb", ["wandb", "agent", *count, sweep])


def checked(path: Path) -> dict[str, Any]:
    """Read a sweep file; raises ConfigError if it is wrong, names no project, or nobody is logged in."""
    check_values(read_sweep(path, []))
    config = yaml.safe_load(path.read_text())
    if not isinstance(config.get("project"), str):
        raise ConfigError(f"{path} must name W&B's project, got none: add project: fastlight")
    if not is_logged_in():
        raise ConfigError(f"W&B's sweeps need an account: wandb login; without: python -m scripts.sweep {path}")
    return config


if __name__ == "__main__":
    main()
