"""Writes run_dir/metrics.csv and continues it when a run resumes."""

import csv
from argparse import Namespace
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from src.core.files import staged


class CSVLogger(Logger):
    """Writes a row for each call to disk at once; adds columns as they appear, empty where a row has no value.

    A new training starts a new file; a test or validation adds rows. A resumed training keeps the rows that the
    checkpoint counts (ResumeState saves the number), and later rows from before its own first step, because an epoch's
    row comes after its checkpoint. The config that train.py logs tells which case it is (task, resume, checkpoint).
    Lightning's CSVLogger always deletes the old file.
    """

    def __init__(self, *, save_dir: str) -> None:
        super().__init__()
        self.path = Path(save_dir) / "metrics.csv"
        self._columns: list[str] = []
        self._started = False
        self._num_rows = 0
        self._config: dict[str, Any] = {"resume": True}

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
        """Keep the config in memory only; config.yaml holds it on disk."""
        self._config = params if isinstance(params, dict) else vars(params)

    def state_dict(self) -> dict[str, int]:
        return {"rows": self._num_rows}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        self._num_rows = state_dict["rows"]

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        row = {"step": step or 0, **{name: float(value) for name, value in metrics.items()}}
        if not self._started:
            self._started = True
            kept = self._rows_to_keep(row["step"])
            self._num_rows = len(kept)
            self._write(kept, row)
        elif not set(row) <= set(self._columns):
            self._write(self._read(), row)
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self._columns).writerow(row)
        self._num_rows += 1

    def _rows_to_keep(self, first_step: int) -> list[dict[str, Any]]:
        config = self._config
        if config.get("task", "fit") != "fit":
            return self._read()
        if not config.get("resume") and not config.get("checkpoint"):
            return []
        rows, counted = self._read(), self._num_rows
        return [*rows[:counted], *(row for row in rows[counted:] if int(row["step"]) < first_step)]

    def _read(self) -> list[dict[str, Any]]:
        if not self.path.is_file():
            return []
        with self.path.open(newline="") as file:
            return list(csv.DictReader(file))

    def _write(self, rows: list[dict[str, Any]], next_row: dict[str, Any]) -> None:
        """Rewrite the file with a column for each name in the rows and the next row."""
        names = {name for row in [*rows, next_row] for name in row}
        self._columns = ["step", *sorted({*self._columns, *names} - {"step"})]
        with staged(self.path) as name, name.open("w", newline="") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(rows)
