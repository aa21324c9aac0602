"""What all tables share: splits, processing, loaders, and the facts that a net needs."""

import hashlib
import json
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytorch_lightning as pl
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from src.datamodules.loader import BatchLoader
from src.datamodules.tables.categories import distinct_texts
from src.datamodules.tables.checks import columns_of, place
from src.datamodules.tables.columns import choose_columns, print_decisions
from src.datamodules.tables.continuous import Scaling
from src.datamodules.tables.encoded import EncodedTable, TableRows, write_table
from src.datamodules.tables.processing import TableProcessing
from src.datamodules.tables.splits import Splitting
from src.datamodules.tables.targets import TargetScaling, Task

VERSION = 1  # to be raised when the same table and choices give other arrays
rank_zero_print = rank_zero_only(print)


class TableData(pl.LightningDataModule):
    """Base of the tables. A subclass has a `set_name`, and gives its rows in `frames` and their key in `facts`.

    Batches are (categories, continuous, targets): int64 (batch, categories), float32 (batch, numbers), and int64
    (batch,) or, for regression, float32 (batch, targets). All that is learned from the table is learned from its
    training rows.

    categorical, continuous, dates: columns, or "auto": those of all others that look so, but for the `ignored` ones.
    on_missing_target: "raise" refuses rows without a target, "drop" leaves them out.
    split, split_column, valid_fraction, test_fraction, valid_from, test_from: see table_splits.
    The others: see table_processing.
    """

    set_name: str

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
        target_scaling: TargetScaling,
        date_parts: list[str],
        date_format: str | None,
        on_missing_target: Literal["raise", "drop"],
        split: Literal["random", "time", "group", "column"],
        split_column: str | None,
        valid_fraction: float,
        test_fraction: float,
        valid_from: str | float | None,
        test_from: str | float | None,
        batch_size: int,
        drop_last: bool,
        keep_on_device: bool,
        seed: int,
    ) -> None:
        super().__init__()
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
            "target_scaling": target_scaling,
            "date_parts": date_parts,
            "date_format": date_format,
        }
        self.on_missing_target = on_missing_target
        self.splitting = Splitting(
            split, split_column, valid_fraction, test_fraction, valid_from, test_from, date_format, seed
        )
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.keep_on_device = keep_on_device
        self.seed = seed
        self.splits: dict[str, TableRows] = {}

    def frames(self) -> dict[str, pd.DataFrame]:
        """The table `train`, from which the splits are taken that are not here: `valid` and `test`."""
        raise NotImplementedError

    def facts(self) -> str:
        """What changes with the table, found without reading it."""
        raise NotImplementedError

    @cached_property
    def encoded(self) -> EncodedTable:
        """The rows as arrays in cache_dir, under a key made of all that changes them."""
        choices = [self.choices, self.columns, self.ignored, self.on_missing_target, repr(self.splitting)]
        facts = f"{VERSION}\0{json.dumps(choices, sort_keys=True)}\0{self.facts()}"
        key = hashlib.sha256(facts.encode()).hexdigest()[:16]
        return EncodedTable(Path(self.cache_dir, "tables", f"{self.set_name}-{key}"))

    def prepare_data(self) -> None:
        self.encoded.build(self._write)

    def _write(self, folder: Path) -> None:
        splits = self._divide({name: self._with_target(frame) for name, frame in self.frames().items()})
        frame, positions = splits["train"]
        processing = self._fit(frame.iloc[positions])
        spec = write_table(folder, splits, processing)
        rows = ", ".join(f"{name} {len(positions):,}" for name, (_, positions) in splits.items())
        inputs = f"{len(spec['category_sizes'])} categorical and {spec['num_continuous']} continuous inputs"
        print(f"{self.set_name}: {rows} rows, {inputs}", flush=True)

    def _with_target(self, frame: pd.DataFrame) -> pd.DataFrame:
        columns = columns_of(frame, self.target)
        missing = np.logical_or.reduce([column.isna() for column in columns])
        if not missing.any():
            return frame
        if self.on_missing_target == "raise":
            raise ValueError(
                f"{missing.sum():,} of {len(frame):,} rows have no {' or '.join(self.target)}, such as "
                f"{place(columns[0], int(missing.argmax()))}; set datamodule.on_missing_target=drop"
            )
        return frame.loc[~missing]

    def _divide(self, frames: dict[str, pd.DataFrame]) -> dict[str, tuple[pd.DataFrame, np.ndarray]]:
        """The table of each split, and the positions of its rows there."""
        splitting, train = self.splitting, frames["train"]
        if "valid" in frames:
            splitting = replace(splitting, valid_fraction=0, valid_from=None)
        if "test" in frames:
            splitting = replace(splitting, test_fraction=0, test_from=None)
        is_class = self.choices["task"] != "regression"
        classes = distinct_texts(pd.Series(train[self.target[0]]))[0] if is_class else None
        found = {name: (train, positions) for name, positions in splitting.divide(train, classes).items()}
        found |= {name: (frame, np.arange(len(frame))) for name, frame in frames.items() if name != "train"}
        if "valid" not in found:
            raise ValueError("there are no rows to validate on: set datamodule.valid_fraction, or name them")
        return found

    def _fit(self, train: pd.DataFrame) -> TableProcessing:
        processing = TableProcessing(**self.choices, **self._choose(train))
        processing.fit(train)
        return processing

    def _choose(self, train: pd.DataFrame) -> dict[str, Any]:
        """The columns of each kind; those that are chosen here are printed."""
        chosen = {kind: [] if columns == "auto" else [*columns] for kind, columns in self.columns.items()}
        automatic = [kind for kind, columns in self.columns.items() if columns == "auto"]
        if automatic:
            apart = [*self.target, *self.ignored, *(name for names in chosen.values() for name in names)]
            if self.splitting.kind in ("group", "column") and self.splitting.column:
                apart.append(self.splitting.column)  # the names of groups and splits tell nothing of rows to come
            columns_of(train, apart)
            decisions = choose_columns(train, apart, self.choices["date_format"])
            decisions = [decision for decision in decisions if decision.kind in (*automatic, "left out")]
            print_decisions(decisions)
            for kind in automatic:
                chosen[kind] = [decision.column for decision in decisions if decision.kind == kind]
        return chosen

    def setup(self, stage: str) -> None:
        if self.splits:
            return
        self._spec, self.splits = self.encoded.read()
        if "test" not in self.splits:
            self.splits["test"] = self.splits["valid"]
            rank_zero_print("there is no test split: the test scores will be those of the validation rows")

    @property
    def spec(self) -> dict[str, Any]:
        """Facts for the net and for prediction, plain data; valid after `setup`.

        `task`, `category_sizes` (codes of each category), `num_continuous`, `num_outputs`, `class_names`;
        `continuous_bins` (for each number the edges of bins with as many training rows each) and `target_range` (the
        lowest and highest of each scaled target in training, for regression); `processing` (of TableProcessing).
        """
        return self._spec

    def train_dataloader(self) -> BatchLoader:
        return self._loader("train", shuffle=True, drop_last=self.drop_last)

    def val_dataloader(self) -> BatchLoader:
        return self._loader("valid")

    def test_dataloader(self) -> BatchLoader:
        return self._loader("test")

    def _loader(self, split: str, shuffle: bool = False, drop_last: bool = False) -> BatchLoader:
        trainer = self.trainer
        if self.keep_on_device and trainer is not None:
            self.splits[split] = self.splits[split].to(trainer.strategy.root_device)
        return BatchLoader(
            *self.splits[split],
            batch_size=self.batch_size,
            shuffle=shuffle,
            seed=self.seed,
            drop_last=drop_last,
            rank=trainer.global_rank if trainer is not None else 0,
            world_size=trainer.world_size if trainer is not None else 1,
        )

    def on_after_batch_transfer(self, batch: tuple[Tensor, ...], dataloader_idx: int) -> tuple[Tensor, ...]:
        categories, continuous, targets = batch
        return categories.long(), continuous, targets
