"""Writes run_dir/metrics.csv, and continues it when a run is resumed."""

import csv
import os
from argparse import Namespace
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only


class CSVLogger(Logger):
    """One row for each call, on disk at once; columns are added as they come up, empty where a row has no value.

    A resumed run finds the rows of the stopped one: those from its own first step on are replaced, the rest stays.
    Lightning's CSVLogger deletes the older file instead.
    """

    def __init__(self, *, save_dir: str) -> None:
        super().__init__()
        self.path = Path(save_dir) / "metrics.csv"
        self._columns: list[str] = []
        self._continues = False

    @property
    def name(self) -> str:
        return "csv"

    @property
    def version(self) -> str:
        return ""

    @property
    def save_dir(self) -> str:
        return str(self.path.parent)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing: config.yaml has them."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        step = step or 0
        rows = []
        if not self._continues:
            self._continues = True
            rows = [row for row in self._read() if int(row["step"]) < step]
        row = {"step": step, **{name: float(value) for name, value in metrics.items()}}
        if rows or not set(row) <= set(self._columns):
            rows = rows or self._read()
            self._columns = ["step", *sorted({*self._columns, *row, *(k for r in rows for k in r)} - {"step"})]
            self._rewrite(rows)
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self._columns).writerow(row)

    def _read(self) -> list[dict[str, Any]]:
        if not self.path.is_file():
            return []
        with self.path.open(newline="") as file:
            return list(csv.DictReader(file))

    def _rewrite(self, rows: list[dict[str, Any]]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        staged = self.path.with_suffix(".tmp")
        with staged.open("w", newline="") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(rows)
        os.replace(staged, self.path)
