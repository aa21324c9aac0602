"""The table at the end of a multirun: what each job changed, and what came of it."""

import csv
import gc
import json
import shlex
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig
from rich.table import Table

from src.core.domains import domains
from src.core.out_of_fold import FOLD, gather
from src.core.output import show, show_rich
from src.core.ranks import is_rank_zero
from src.core.remote import Copy, is_address
from src.core.run_dir import RunDir
from src.core.spreadsheets import as_text

REPEATS = ("seed", "datamodule.seed", FOLD)  # jobs that differ in these alone repeat one another


class MultirunTable(Callback):
    """Prints a table of the jobs' overrides and scores, and writes all of metrics.json to multirun.csv.

    Jobs that differ in their seed or fold alone are followed by a row of their mean and standard deviation. What was
    predicted out of fold is gathered. Each job leaves its overrides in its folder, as job.json: it may have run in
    another process, on another machine.
    """

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        for path in Path(config.hydra.sweep.dir).glob("*/job.json") if is_rank_zero() else ():
            path.unlink()  # of an earlier sweep in the same folder

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        assert job_return.hydra_cfg is not None
        if job_return.hydra_cfg.hydra.mode == RunMode.MULTIRUN and is_rank_zero():
            folder = Path(job_return.hydra_cfg.hydra.runtime.output_dir)
            changes = dict(override.split("=", 1) for override in job_return.overrides or () if "=" in override)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "job.json").write_text(json.dumps(changes))
        # Trainer, model and data hold one another: without this a job's data stayed in memory during the next ones.
        gc.collect()

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        folder = Path(config.hydra.sweep.dir)
        rows = rows_of(folder)
        if not rows or not is_rank_zero():
            return
        names = list(dict.fromkeys(name for row in rows for name in row))
        with (folder / "multirun.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, names)
            writer.writeheader()
            writer.writerows({name: as_text(value) for name, value in row.items()} for row in rows)
        changed = [n for n in names if "/" not in n and len({str(row.get(n)) for row in rows}) > 1]
        shown = [name for name in scores_shown() if name in names]
        print_table([*rows, *over_repeats(rows, changed, shown)], [*changed, *shown])
        gather(folder, rows, [name for name in changed if name not in ("job", FOLD)])
        if set(changed) <= {"job", *REPEATS} and FOLD in changed:
            tell_how_to_ask(folder, rows)
        if is_address(config.run_dir):
            Copy(config.run_dir, folder).send()
        show(f"{config.run_dir}: multirun.csv and a folder for each job")


def tell_how_to_ask(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Show how the models of the folds answer together, where they predict rows and there are two or more."""
    paths = [str(path) for row in rows if (path := RunDir(folder / row["job"]).best_ckpt).is_file()]
    if len(paths) > 1 and RunDir(folder).out_of_fold_csv.is_file():
        checkpoints = shlex.quote(f"checkpoint=[{','.join(paths)}]")
        show(f"the mean of their answers: python predict.py {checkpoints} input=FILE")


def scores_shown() -> list[str]:
    """The scores that the table shows where jobs have them: those of all domains, test before val."""
    scores = dict.fromkeys(score for domain in domains() for score in domain.scores if score != "loss")
    return [*(f"{split}/{score}" for split in ("test", "val") for score in (*scores, "loss")), "time/fit_s"]


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """Each job of a multirun's folder, in the order of their numbers: its overrides and its metrics."""
    rows = []
    for path in sorted(folder.glob("*/job.json"), key=lambda path: (len(path.parent.name), path.parent.name)):
        metrics = path.with_name("metrics.json")
        scores = json.loads(metrics.read_text()) if metrics.is_file() else {}
        rows.append({"job": path.parent.name, **json.loads(path.read_text()), **scores})
    return rows


def over_repeats(rows: list[dict[str, Any]], changed: list[str], scores: list[str]) -> list[dict[str, Any]]:
    """One row for each group of two or more rows that differ in REPEATS alone: mean +- standard deviation."""
    others = [name for name in changed if name not in ("job", *REPEATS)]
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(str(row.get(name)) for name in others), []).append(row)
    summaries = []
    for group in groups.values():
        if len({tuple(row.get(name) for name in REPEATS) for row in group}) < 2:
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
    show_rich(table)
