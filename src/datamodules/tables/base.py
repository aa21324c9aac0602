"""What all tables share: splits, processing, the cache, and the spec for the net."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from src.core.output import show
from src.core.run_dir import RunDir
from src.datamodules.base import RowData
from src.datamodules.cache import CacheFolder, cache_key
from src.datamodules.held_out import drawn, text_bytes
from src.datamodules.tables.categories import distinct_texts
from src.datamodules.tables.checks import are_complete, rows_with_target
from src.datamodules.tables.columns import Decision
from src.datamodules.tables.continuous import Scaling
from src.datamodules.tables.decisions import decide, warn_of_giveaways, write_decisions
from src.datamodules.tables.encoded import read_table_cache, write_table
from src.datamodules.tables.processing import TableProcessing
from src.datamodules.tables.row_names import read_row_names, write_row_names
from src.datamodules.tables.splits import Splitting
from src.datamodules.tables.targets import TargetScaling, Task, decode_target
from src.datamodules.tables.unread import note_readings

VERSION = 6  # raise it when the same table and choices give other arrays
HELD_OUT, COLUMNS = "held_out.json", "columns.json"
TESTED = "tested.parquet"  # what names the rows that are tested


class TableData(RowData):
    """Base of the tables. A subclass has a `set_name`; it returns its rows in `frames` and their `fingerprint`.

    Batches are (categories, continuous, targets): int64 (batch, categories), float32 (batch, numbers), and int64
    (batch,) or, for regression, float32 (batch, targets). Whatever is fitted is fitted to the training rows alone.

    The spec has `task`, `category_sizes` (the number of codes of each category), `num_continuous`, `num_outputs`,
    `class_names` and, unless the task is regression, `class_counts` of the training rows; `continuous_bins` (for each
    number, the edges of bins with equally many training rows) and, for regression, `target_range` (the lowest and
    highest scaled value of each target in training); `processing` (the state of TableProcessing).

    Args:
        cache_dir: the encoded rows are written below it.
        categorical: columns, or "auto": the other columns that look like it, except the ignored ones.
        continuous: the same for numbers.
        dates: the same for dates.
        ignored: columns that "auto" does not choose.
        row_weight: a column; rows count by it in losses and scores, and it is not an input unless it is named as one.
        on_missing_target: "raise" refuses rows without a target, "drop" leaves them out.
        split: how rows are divided; see Splitting, also for `split_column` and all up to `test_from`.
        **row_data: arguments of RowData. All other arguments are those of TableProcessing.
    """

    set_name: str
    decisions: list[Decision] = []  # of "auto", where this process made the table
    largest_batch = 256

    def __init__(
        self,
        *,
        cache_dir: str,
        target: str | list[str],
        task: Task,
        positive: Any,
        categorical: list[str] | Literal["auto"],
        continuous: list[str] | Literal["auto"],
        dates: list[str] | Literal["auto"],
        ignored: list[str],
        min_freq: int,
        continuous_scaling: Scaling,
        clip_numbers: bool,
        target_scaling: TargetScaling,
        date_parts: list[str],
        date_format: str | None,
        row_weight: str | None = None,
        on_missing_target: Literal["raise", "drop"],
        split: Literal["random", "time", "group", "column"],
        split_column: str | None,
        valid_fraction: float,
        test_fraction: float,
        valid_from: str | float | None,
        test_from: str | float | None,
        **row_data: Any,
    ) -> None:
        super().__init__(**row_data)
        self.cache_dir = cache_dir
        self.target = [target] if isinstance(target, str) else target
        self.columns: dict[str, list[str] | Literal["auto"]] = {
            "categorical": categorical,
            "continuous": continuous,
            "dates": dates,
        }
        self.ignored = ignored
        self.choices: dict[str, Any] = {
            "target": target,
            "task": task,
            "positive": positive,
            "min_freq": min_freq,
            "continuous_scaling": continuous_scaling,
            "clip_numbers": clip_numbers,
            "target_scaling": target_scaling,
            "date_parts": date_parts,
            "date_format": date_format,
        }
        self.row_weight = row_weight
        self.on_missing_target = on_missing_target
        rows = (split, split_column, valid_fraction, test_fraction, valid_from, test_from, date_format)
        self.splitting = Splitting(*rows, self.seed, self.fold, self.num_folds)

    def frames(self) -> dict[str, pd.DataFrame]:
        """Return the table `train`; also `valid` and `test`, if they are not to be taken from `train`."""
        raise NotImplementedError

    def fingerprint(self) -> str:
        """Return a text that changes when the table changes, without parsing the table."""
        raise NotImplementedError

    @cached_property
    def cache(self) -> CacheFolder:
        """The encoded rows; the name of the folder has a key of everything that changes them."""
        choices = [
            self.choices,
            self.columns,
            self.ignored,
            self.on_missing_target,
            repr(self.splitting),
            self.row_weight,
        ]
        key = cache_key([str(VERSION), json.dumps(choices, sort_keys=True), self.fingerprint()])
        return CacheFolder(Path(self.cache_dir, "tables", f"{self.set_name}-{key}"))

    def prepare_data(self) -> None:
        self.cache.build(self._write)

    def _write(self, folder: Path) -> None:
        tables = self.frames()
        if self.fold is not None and tables.pop("test", None) is not None:
            show(f"{self.set_name}: its own test rows are left out, datamodule.fold tests on training rows")
        complete = {
            name: rows_with_target(table, self.target, self.on_missing_target) for name, table in tables.items()
        }
        splits = self._divide(complete)
        frame, positions = splits["train"]
        spec = write_table(folder, splits, self._fit(frame.iloc[positions]), self.row_weight)
        table, tested = splits.get("test", splits["valid"])
        origin = tables["train"] if table is frame else tables["test" if "test" in tables else "valid"]
        places = np.flatnonzero(are_complete(origin, self.target))[tested]
        write_row_names(folder / TESTED, origin, places, self.decisions)
        if self.fold is not None:
            self._show_fold(splits)
        (folder / HELD_OUT).write_text(json.dumps(self._held_out(splits)))
        (folder / COLUMNS).write_text(json.dumps(self.decisions))
        rows = ", ".join(f"{name} {len(positions):,}" for name, (_, positions) in splits.items())
        inputs = f"{len(spec['category_sizes'])} categorical and {spec['num_continuous']} continuous inputs"
        show(f"{self.set_name}: {rows} rows, {inputs}")

    def _show_fold(self, splits: dict[str, tuple[pd.DataFrame, np.ndarray]]) -> None:
        """Say what fold this is, and how many rows no split has, which is so in all folds by time but the last."""
        table, tested = splits["test"]
        unused = len(table) - sum(len(positions) for frame, positions in splits.values() if frame is table)
        later = f"; {unused:,} later rows are not used" if unused else ""
        show(f"{self.set_name}: fold {self.fold} of {self.num_folds} tests on {len(tested):,} rows{later}")

    def tested_rows(self) -> dict[str, Sequence[Any]]:
        return read_row_names(self.cache.file(TESTED))

    def _splitting(self, named: Iterable[str]) -> Splitting:
        """Return how rows are taken for those splits that have no rows of their own."""
        splitting = self.splitting
        if "valid" in named:
            splitting = replace(splitting, valid_fraction=0, valid_from=None)
        if "test" in named:
            splitting = replace(splitting, test_fraction=0, test_from=None)
        return splitting

    def _divide(self, frames: dict[str, pd.DataFrame]) -> dict[str, tuple[pd.DataFrame, np.ndarray]]:
        """Return the table of each split, and the positions of its rows in that table."""
        splitting, train = self._splitting(frames), frames["train"]
        is_class = self.choices["task"] != "regression"
        classes = distinct_texts(pd.Series(train[self.target[0]]))[0] if is_class else None
        found = {name: (train, positions) for name, positions in splitting.divide(train, classes).items()}
        found |= {name: (frame, np.arange(len(frame))) for name, frame in frames.items() if name != "train"}
        if "valid" not in found:
            raise ValueError("there are no rows to validate on: set datamodule.valid_fraction or name such files")
        return found

    def _held_out(self, splits: dict[str, tuple[pd.DataFrame, np.ndarray]]) -> dict[str, Any]:
        """Return the record of each split that was taken from the table `train`."""
        table, _ = splits["train"]
        taken = {name: positions for name, (frame, positions) in splits.items() if frame is table and name != "train"}
        rule = self._splitting(set(splits) - set(taken)).rule
        if rule is None:
            return {}
        # Their places alone would be the same in a table of as many rows in another order.
        samples = {name: table.iloc[rows[:: -(-len(rows) // 1000)]].to_numpy(object) for name, rows in taken.items()}
        return {name: drawn(rule, rows, text_bytes(map(str, samples[name].flat))) for name, rows in taken.items()}

    def _fit(self, train: pd.DataFrame) -> TableProcessing:
        processing = TableProcessing(**self.choices, **self._choose(train))
        processing.fit(train)
        note_readings(train, processing)
        return processing

    def _choose(self, train: pd.DataFrame) -> dict[str, Any]:
        """Return the columns of each kind, and tell those that "auto" chose."""
        apart = [*self.target, *self.ignored, *([self.row_weight] if self.row_weight is not None else [])]
        if self.splitting.kind in ("group", "column") and self.splitting.column:
            apart.append(self.splitting.column)  # names of groups and splits say nothing about new rows
        chosen, self.decisions = decide(train, self.columns, apart, self.choices["date_format"], self._columns_file)
        warn_of_giveaways(train, [*chosen["categorical"], *chosen["continuous"]], self.target, self.choices["task"])
        return chosen

    @property
    def _columns_file(self) -> Path | None:
        """Where the run, if there is one, keeps the decisions of "auto"."""
        run = RunDir(self.trainer.default_root_dir) if self.trainer is not None else None
        return run.columns_csv if run is not None and run.config_yaml.is_file() else None

    def load(self) -> dict[str, Any]:
        spec, splits = read_table_cache(self.cache)
        self.held_out = self.cache.read_json(HELD_OUT)
        self.contents = self.cache.contents()
        write_decisions(self._columns_file, self.cache.read_json(COLUMNS))
        self.use_splits(splits)
        if self.row_weight is not None:
            spec = spec | {"row_weight": self.row_weight}
            rank_zero_only(show)(f"{self.set_name}: losses and scores count rows by {self.row_weight}")
        if spec["task"] != "regression":
            counts = np.bincount(splits["train"].targets.numpy(), minlength=len(spec["class_names"]))
            spec = spec | {"class_counts": counts.tolist()}
        return spec

    def decoded(self, targets: np.ndarray) -> np.ndarray:
        """Return targets of a batch as class names, or in their own units; valid after `setup`."""
        return decode_target(targets, self.spec["processing"]["target"])

    def on_after_batch_transfer(self, batch: tuple[Tensor, ...], dataloader_idx: int) -> tuple[Tensor, ...]:
        categories, *others = batch
        return categories.long(), *others
