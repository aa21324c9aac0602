"""An experiment of this project on a table of the suite, as `train.py` runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path

from scripts.benchmark_tables.suite import SuiteTable
from src.core.errors import ROOT, ConfigError


def measure(experiment: str, table: SuiteTable, folder: Path, seed: int) -> dict[str, float]:
    """Train on folder/train.csv; returns the score on folder/test.csv and the seconds of the training, on one thread.

    Raises ConfigError if the training fails; its output is in folder/EXPERIMENT.log.
    """
    run_dir, log = folder / experiment, folder / f"{experiment}.log"
    data = {"train_files": "train.csv", "test_files": "test.csv", "target": table.target, "task": table.task}
    if table.date_format is not None:
        data["date_format"] = f"'{table.date_format}'"
    overrides = [f"experiment={experiment}", f"data_dir={folder}", f"run_dir={run_dir}", f"cache_dir={folder}/cache"]
    overrides += [f"seed={seed}", "overwrite=true", *(f"datamodule.{name}={value}" for name, value in data.items())]
    with log.open("w") as output:
        command = [sys.executable, "train.py", *overrides]
        one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, check=False, cwd=ROOT, env=one_thread, stdout=output, stderr=output)
    if done.returncode:
        raise ConfigError(f"{experiment} failed on {folder.name}; {log} tells why")
    scores = json.loads((run_dir / "metrics.json").read_text())
    return {"score": scores[f"test/{table.score}"], "seconds": scores["time/fit_s"]}
