"""Register a sweep file with Weights & Biases, then run its trials here, one after another.

    python -m scripts.wandb_sweep conf/sweep/tables_bayes.yaml [--count 20]     (make sweep SWEEP=... does the same)

More machines join by the command that it prints. Needs an account; without one: python -m scripts.sweep FILE.
"""

import argparse
import os
import sys
from pathlib import Path

import wandb
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from scripts.sweep.file import check_values, read_sweep
from src.core.errors import ConfigError
from src.loggers.wandb_logger import is_logged_in


def main() -> None:
    """Read the arguments, register, become an agent."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="a sweep file, as in conf/sweep")
    parser.add_argument("--count", type=int, help="trials of this agent; default: until the sweep ends")
    args = parser.parse_args()
    try:
        check_values(read_sweep(args.file, []))
        config = yaml.safe_load(args.file.read_text())
        if not isinstance(config.get("project"), str):
            raise ConfigError(f"{args.file} must name W&B's project, got none: add project: fastlight")
    except ConfigError as error:
        parser.exit(1, f"error: {error}\n")
    if not is_logged_in():
        parser.exit(
            1, f"error: W&B's sweeps need an account: wandb login; without: python -m scripts.sweep {args.file}\n"
        )
    sweep = f"{config['project']}/{wandb.sweep(config)}"
    print(
        f"more agents: wandb agent {sweep}   on SLURM: sbatch --array=1-4 scripts/slurm/agent.sbatch {sweep}",
        flush=True,
    )
    # The agent starts `python` by its name: this one.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    count = ["--count", str(args.count)] if args.count else []
    os.execvp("wandb", ["wandb", "agent", *count, sweep])


if __name__ == "__main__":
    main()
