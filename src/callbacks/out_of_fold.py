"""Writes what a model predicts for the rows of the fold that it was not trained on."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

from src.core.domains import Domain, domain_of
from src.core.files import staged
from src.core.output import show, warn
from src.core.run_dir import RunDir
from src.core.saving import saving
from src.core.sharding import is_sharded
from src.core.spreadsheets import TextCells
from src.report.rows import rows_of


class OutOfFold(Callback):
    """Writes out_of_fold.csv after the test of a fold (`datamodule.fold`): for each of its rows, the truth and what
    predict.py answers. `MultirunTable` gathers the files of all folds.

    Args:
        run_dir: the run's folder.
    """

    def __init__(self, *, run_dir: str) -> None:
        self.path = RunDir(run_dir).out_of_fold_csv

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data: Any = getattr(trainer, "datamodule", None)
        if getattr(data, "fold", None) is None or not trainer.is_global_zero:
            return
        domain = domain_of(data.spec)
        if domain is None or domain.answered is None:
            return  # a text has no rows to predict
        if is_sharded(trainer):
            warn(f"{self.path.name} is not written: each rank holds a part of the model; task=test on one device does")
            return
        with saving(self.path):
            count = write_rows(self.path, _columns(domain.answered, pl_module, data))
        show(f"{count:,} out-of-fold predictions in {self.path}")


def _columns(answered: str, model: LightningModule, data: Any) -> Iterator[dict[str, Sequence[Any]]]:
    """For each batch of the fold, columns by their heads: what names its rows, the truth and the answers."""
    answers, start, names = Domain.load(answered), 0, data.tested_rows()
    for batch in rows_of(data):
        stop = start + len(batch[-1])
        yield {f"{head}": column[start:stop] for head, column in names.items()} | answers(model, batch)
        start = stop


def write_rows(path: Path, tables: Iterator[dict[str, Sequence[Any]]]) -> int:
    """Write tables of the same columns below one another, whole or not at all; returns the number of rows."""
    count, cells = 0, TextCells()
    with staged(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        for table in tables:
            if not count:
                writer.writerow(cells.row(table))
            for row in zip(*table.values(), strict=True):
                writer.writerow(cells.row(row))
                count += 1
    cells.tell(path)
    return count
