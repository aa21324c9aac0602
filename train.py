"""Compose a config, fit, test: `python train.py experiment=NAME [key=value ...]`. src/training/run.py does the work.

Nothing here imports torch before the config is known to be right: --help, --cfg and mistakes answer at once.
"""

import os
import signal
from collections.abc import Sequence

if __name__ == "__main__":  # until there are handlers: Python's own raises where exceptions may be lost
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import hydra
from omegaconf import DictConfig

from src.core.check import check
from src.core.console import list_if_asked, print_if_asked
from src.core.errors import ROOT
from src.core.explain import readable_errors
from src.core.output import set_quiet
from src.core.run_config import fetch_run, in_newest_format, job_folder, job_overrides, set_run_dir
from src.core.run_dir import own_run_dir, removed_if_empty
from src.core.signals import exit_on_signals


def run(cfg: DictConfig, overrides: Sequence[str] | None = None) -> dict[str, float]:
    """Fit and test, or only test or validate, what a checked config describes; return the scores."""
    from src.training.run import run as run_config

    return run_config(cfg, overrides=overrides).scores


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(cfg: DictConfig) -> None:
    """Check the config, then run it in its run_dir."""
    with readable_errors("train"), exit_on_signals(requeue=bool(cfg.resume)):
        with removed_if_empty(job_folder()):
            cfg = in_newest_format(cfg)
            address = set_run_dir(cfg)
            fetch_run(cfg, address)
            check(cfg)
        print_if_asked(cfg)
        set_quiet(cfg.get("quiet", False))  # also for the table of a multirun
        with own_run_dir(cfg):
            run(cfg, job_overrides())


if __name__ == "__main__":
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with readable_errors("train"):
        list_if_asked()
        main()
