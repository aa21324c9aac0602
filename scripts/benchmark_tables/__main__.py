"""Compares experiments on tables with boosted trees, on a suite of twelve tables.

    python -m scripts.benchmark_tables data_dir=PATH [--models table LightGBM ...] [--tables diamonds ames ...]
        [--seeds 3] [--out runs/benchmark_tables]

Each seed draws a fifth of the rows to test on; all models learn from the other rows, the nets with a tenth of those to
validate on. Models are experiments of conf/experiment (`table` unless others are named) and, where they are installed,
HistGradientBoosting, LightGBM, XGBoost and CatBoost at their defaults, fast.ai's tabular net, and "LightGBM, tuned":
the best of 20 settings, with early stopping. They read text as categories and dates as numbers. Get them by
`pip install --no-deps lightgbm==4.7.0 xgboost-cpu==3.2.0`, `pip install catboost==1.2.10` and `pip install --no-deps
fastai==2.8.12 fastcore==2.2.41 fastprogress==1.0.3 fasttransform==0.0.5 fastdownload==0.0.8 plum-dispatch==2.10.1
beartype==0.23.1 cloudpickle`.

DATA_DIR/tables holds the tables as the Rdatasets collection has them, rossmann and adult lie as their experiments say,
flights come with a package. All models train on one thread. Shown are means over the seeds; a model counts where it has
been on all tables. OUT receives results.csv, to which a later call adds what is missing there, and suite.png. The last
line is one JSON object.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from scripts.benchmark_tables import net, report, rivals
from scripts.benchmark_tables.suite import SUITE, write_split
from scripts.shared.arguments import command_line
from scripts.shared.hardware import hardware
from src.core.errors import ConfigError
from src.core.explain import readable_errors
from src.core.output import show


def measured(out: Path, names: Sequence[str], models: Sequence[str], seeds: int, data_dir: str) -> list[dict[str, Any]]:
    """Measure what out/results.csv does not have; returns all that it has of these tables, models and seeds."""
    path = out / "results.csv"
    results = pd.read_csv(path).to_dict("records") if path.is_file() else []
    wanted = [(name, seed, model) for name in names for seed in range(seeds) for model in models]
    for name, seed, model in wanted:
        if any((r["table"], r["seed"], r["model"]) == (name, seed, model) for r in results):
            continue
        folder = out / f"{name}-{seed}"
        if not (folder / "train.csv").is_file():  # written last
            write_split(name, data_dir, seed, folder)
        measure = rivals.measure if model in rivals.RIVALS else net.measure
        found = measure(model, SUITE[name], folder, seed)
        results.append({"table": name, "seed": seed, "model": model, **found})
        show(f"{name}, seed {seed}, {model}: {SUITE[name].score} {found['score']:.4g} in {found['seconds']:.1f} s")
        pd.DataFrame(results).to_csv(path, index=False)
    return [r for r in results if (r["table"], r["seed"], r["model"]) in wanted]


def constant_errors(out: Path, names: Sequence[str], seeds: int) -> dict[str, float]:
    """Return the mean error of the best constant on each table: an AUROC of 0.5, the RMSE of the training mean."""
    found = {}
    for name in names:
        column = SUITE[name].target
        if SUITE[name].score == "auroc":
            found[name] = 0.5
            continue
        rmse = []
        for seed in range(seeds):
            train, test = (pd.read_csv(out / f"{name}-{seed}" / f"{s}.csv")[column] for s in ("train", "test"))
            rmse.append(np.sqrt(np.mean((test - train.mean()) ** 2)))
        found[name] = float(np.mean(rmse))
    return found


def compare(names: Sequence[str], models: Sequence[str], seeds: int, data_dir: str, out: Path) -> None:
    """Measure, then show and draw the results."""
    out.mkdir(parents=True, exist_ok=True)
    results = measured(out.resolve(), names, models, seeds, data_dir)
    scores, constants = report.mean_scores(results), constant_errors(out, names, seeds)
    report.draw(scores, constants).savefig(out / "suite.png")
    show(f"\n{report.by_table(scores)}\n\n{report.by_model(scores, constants, results)}\n")
    ranks = report.ranks(scores).mean().round(3).to_dict()
    show(json.dumps({"mean_rank": ranks, "tables": len(scores), "seeds": seeds} | hardware()))


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare the models that the command line names."""
    parser = command_line("benchmark_tables", __doc__)
    parser.add_argument("data", metavar="data_dir=PATH", help="where the tables are")
    parser.add_argument("--models", nargs="+", help="experiments and rivals")
    parser.add_argument("--tables", nargs="+", choices=SUITE, default=list(SUITE), help="of the suite")
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark_tables"), help="for results and files")
    args = parser.parse_intermixed_args(arguments)
    with readable_errors("train"):
        key, _, data_dir = args.data.partition("=")
        if key != "data_dir" or not data_dir:
            raise ConfigError(f"the first word must be data_dir=PATH, got {args.data}")
        models = args.models or ["table", *rivals.installed()]
        compare(args.tables, models, args.seeds, str(Path(data_dir).resolve()), args.out)


if __name__ == "__main__":
    main()
