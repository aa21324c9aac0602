"""An experiment of this project on a table of the suite, trained and asked as a user does."""

from pathlib import Path

import pandas as pd

from scripts.benchmark_tables.suite import SuiteTable, score
from scripts.shared.programs import metrics_of, run_program


def measure(experiment: str, table: SuiteTable, folder: Path, seed: int) -> dict[str, float]:
    """Train on folder/train.csv; returns the score on folder/test.csv and the seconds of the training, on one thread.

    Where the experiment trains several nets, the mean of their answers is scored.

    Raises ConfigError if a program fails.
    """
    run_dir, predictions = folder / experiment, folder / experiment / "test.parquet"
    data = {"train_files": "train.csv", "target": table.target, "task": table.task, "test_fraction": 0}
    if table.date_format is not None:
        data["date_format"] = f"'{table.date_format}'"
    overrides = [f"experiment={experiment}", f"data_dir={folder}", f"run_dir={run_dir}", f"cache_dir={folder}/cache"]
    overrides += [
        f"seed={seed}",
        "overwrite=true",
        "~callbacks.report",
        *(f"datamodule.{name}={value}" for name, value in data.items()),
    ]
    run_program("train.py", overrides, threads=1)
    checkpoints = sorted(run_dir.rglob("best.ckpt"))
    asked = f"checkpoint=[{','.join(map(str, checkpoints))}]"
    run_program("predict.py", [asked, f"input={folder}/test.csv", f"output={predictions}"], threads=1)
    truth, answers = pd.Series(pd.read_csv(folder / "test.csv")[table.target]), pd.read_parquet(predictions)
    columns = [table.target] if table.task == "regression" else [str(name) for name in sorted(truth.unique())]
    return {
        "score": score(table, truth, answers[columns].to_numpy()),
        "seconds": sum(metrics_of(path.parents[1])["time/fit_s"] for path in checkpoints),
    }
