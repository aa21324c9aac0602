"""The table at the end of a multirun: what each job changed, and what came of it."""

import csv
import gc
import json
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table

SHOWN = ("test/accuracy", "test/perplexity", "test/loss", "val/accuracy", "val/perplexity", "val/loss", "time/fit_s")


class MultirunTable(Callback):
    """Prints a table of the jobs' overrides and scores, and writes all of metrics.json to multirun.csv.

    Jobs that differ in their seed alone are followed by a row of their mean and standard deviation.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        assert job_return.hydra_cfg is not None
        path = Path(job_return.hydra_cfg.hydra.runtime.output_dir) / "metrics.json"
        changes = dict(override.split("=", 1) for override in job_return.overrides or () if "=" in override)
        metrics = json.loads(path.read_text()) if path.is_file() else {}
        self.rows.append({"job": path.parent.name, **changes, **metrics})
        # Trainer, model and data hold one another: without this a job's data stayed in memory during the next ones.
        gc.collect()

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        if not self.rows:
            return
        folder = Path(config.hydra.sweep.dir)
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        with (folder / "multirun.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows(self.rows)
        changed = [n for n in names if "/" not in n and len({str(row.get(n)) for row in self.rows}) > 1]
        shown = [n for n in SHOWN if n in names]
        print_table([*self.rows, *over_seeds(self.rows, changed, shown)], [*changed, *shown])
        print(f"{folder}: multirun.csv, and each job's folder")


def over_seeds(rows: list[dict[str, Any]], changed: list[str], scores: list[str]) -> list[dict[str, Any]]:
    """One row for each group of two or more rows that differ in `seed` alone: mean +- standard deviation."""
    others = [name for name in changed if name not in ("job", "seed")]
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(str(row.get(name)) for name in others), []).append(row)
    summaries = []
    for group in groups.values():
        if len({row.get("seed") for row in group}) < 2:
            continue
        numbers = {name: [row[name] for row in group if name in row] for name in scores}
        summary = {n: f"{mean(v):.4g} ±{stdev(v):.2g}" for n, v in numbers.items() if len(v) > 1}
        summaries.append({"job": "mean", **{name: group[0].get(name) for name in others}, **summary})
    return summaries


def print_table(rows: list[dict[str, Any]], names: list[str]) -> None:
    """Print rows as a table; numbers with four digits."""
    table = Table()
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(f"{row[n]:.4g}" if isinstance(row.get(n), float) else str(row.get(n, "-")) for n in names))
    Console().print(table)
