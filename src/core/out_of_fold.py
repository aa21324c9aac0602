"""Gathers what the jobs of a multirun have predicted, each for the rows of its fold, in one file. Without torch."""

import csv
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from src.core.files import staged
from src.core.output import note, show
from src.core.run_dir import RunDir
from src.core.spreadsheets import as_text

FOLD = "datamodule.fold"


def gather(folder: Path, jobs: list[dict[str, Any]], changed: list[str]) -> None:
    """Write out_of_fold.csv: the rows of all jobs that have a fold, in the order of the data, not of the jobs.

    Jobs that differ in more than the fold come below one another; the columns `changed` say what they chose. A note
    names the folds that are missing.

    Args:
        folder: of the multirun; each job has a folder of its own there.
        jobs: the overrides of each job, and its number as `job`.
        changed: overrides other than the fold in which the jobs differ.
    """
    path = RunDir(folder).out_of_fold_csv
    path.unlink(missing_ok=True)  # of an earlier multirun
    files = {str(job["job"]): RunDir(folder / job["job"]).out_of_fold_csv for job in jobs if FOLD in job}
    found = [job for job in jobs if job["job"] in files and files[job["job"]].is_file()]
    if not found:
        return

    def choices(job: dict[str, Any]) -> list[str]:
        return [str(job.get(name, "")) for name in changed]

    heads = list(dict.fromkeys(head for job in found for head in _read_head(files[job["job"]])))
    count = 0
    with staged(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*changed, "fold", *heads])
        for chosen, group in groupby(sorted(found, key=choices), choices):
            rows = [row for job in group for row in _rows(files[job["job"]], job[FOLD], heads)]
            rows.sort(key=lambda row: int(row[1 + heads.index("row")]))
            writer.writerows([*map(as_text, chosen), *row] for row in rows)
            count += len(rows)
            folds = {int(row[0]) for row in rows}
            _tell_missing(folds, RunDir(folder / found[0]["job"]), dict(zip(changed, chosen, strict=True)))
    show(f"{count:,} out-of-fold predictions in {path}")


def _read_head(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8") as file:
        return next(csv.reader(file))


def _rows(path: Path, fold: str, heads: list[str]) -> Iterator[list[str]]:
    """The rows of a job's file with its fold, under these heads; cells stay as the file spells them."""
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield [fold, *(row.get(head, "") for head in heads)]


def _tell_missing(folds: set[int], run: RunDir, chosen: dict[str, str]) -> None:
    num_folds = OmegaConf.select(OmegaConf.load(run.config_yaml), "datamodule.num_folds")
    missing = [str(fold) for fold in range(num_folds) if fold not in folds]
    if missing:
        of = f" with {', '.join(f'{name}={value}' for name, value in chosen.items())}" if chosen else ""
        note(f"there are no predictions{of} of fold {', '.join(missing)}")
