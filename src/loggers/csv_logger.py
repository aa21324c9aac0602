"""Writes run_dir/metrics.csv and continues it when a run resumes."""

import csv
import io
from argparse import Namespace
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from src.core.files import append_text, sync, write_text
from src.core.output import note
from src.core.saving import saving


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
        self._unwritten: list[dict[str, Any]] = []  # while the disk is full
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
        if self.path.is_file():
            with saving(self.path):
                sync(self.path)  # before the checkpoint that counts the rows
        return {"rows": self._num_rows}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        self._num_rows = state_dict["rows"]

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self._unwritten.append({"step": step or 0, **{name: float(value) for name, value in metrics.items()}})
        with saving(self.path):
            self._write_rows(self._unwritten)
            self._num_rows += len(self._unwritten)
            self._unwritten = []

    def _write_rows(self, rows: list[dict[str, Any]]) -> None:
        if not self._started:
            kept = self._rows_to_keep(rows[0]["step"])
            self._rewrite(kept, rows)
            self._num_rows = len(kept)
            self._started = True
        elif not {name for row in rows for name in row} <= set(self._columns):
            self._rewrite(self._read(), rows)
        append_text(self.path, _as_csv(self._columns, rows))

    def _rows_to_keep(self, first_step: int) -> list[dict[str, Any]]:
        config = self._config
        if config.get("task", "fit") != "fit":
            return self._read()
        if not config.get("resume") and not config.get("checkpoint"):
            return []
        rows, counted = self._read(), self._num_rows
        if len(rows) < counted and config.get("resume"):
            note(f"{self.path} has only {len(rows)} of the {counted} rows that the checkpoint counts; the rest is lost")
        return [*rows[:counted], *(row for row in rows[counted:] if int(row["step"]) < first_step)]

    def _read(self) -> list[dict[str, Any]]:
        """The rows that are whole; a power cut may have left zeros, or half a row."""
        if not self.path.is_file():
            return []
        text = self.path.read_bytes().decode("utf-8", "replace")
        lines = io.StringIO(text[: text.rfind("\n") + 1], newline="")
        rows = csv.DictReader(lines)  # which calls surplus fields None, and so missing ones
        return [row for row in rows if None not in (*row, *row.values()) and row.get("step", "").isdigit()]

    def _rewrite(self, rows: list[dict[str, Any]], next_rows: list[dict[str, Any]]) -> None:
        """Write the file anew with a column for each name in the rows and the next rows."""
        names = {name for row in [*rows, *next_rows] for name in row}
        columns = ["step", *sorted({*self._columns, *names} - {"step"})]
        write_text(self.path, _as_csv(columns, [{name: name for name in columns}, *rows]))
        self._columns = columns


def _as_csv(columns: list[str], rows: list[dict[str, Any]]) -> str:
    text = io.StringIO(newline="")
    csv.DictWriter(text, columns).writerows(rows)
    return text.getvalue()
