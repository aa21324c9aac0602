"""The rows of a table as a net reads them: arrays in files, made once, that all later runs read."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from rich.progress import MofNCompleteColumn, ProgressColumn, Task
from rich.text import Text
from torch import Tensor

from src.core.files import make_whole
from src.core.progress import progress_bar
from src.datamodules.tables.processing import TableProcessing

CHUNK = 1 << 18  # rows that are encoded at once
MAX_BINS = 48


class TableRows(NamedTuple):
    """The rows of a split.

    categories: the smallest integers that hold the codes, (rows, categories): a quarter of the memory of int64, and
    2.5 times as fast to draw rows from.  continuous: float32 (rows, numbers).
    targets: int64 (rows,), or float32 (rows, targets) for regression.
    """

    categories: Tensor
    continuous: Tensor
    targets: Tensor

    def to(self, device: torch.device) -> "TableRows":
        """The rows on a device."""
        return TableRows(*(tensor.to(device) for tensor in self))


class EncodedTable:
    """A folder of `spec.json` and the arrays of each split; it is there wholly or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def build(self, write: Callable[[Path], object]) -> None:
        """Let `write` fill the folder, unless it is there."""
        make_whole(self.folder, write)

    def read(self) -> tuple[dict[str, Any], dict[str, TableRows]]:
        """The spec, and the rows of each split, in memory maps. Raises FileNotFoundError before `build`."""
        if not self.folder.is_dir():
            raise FileNotFoundError(f"{self.folder} does not exist: call prepare_data before setup")
        spec = json.loads((self.folder / "spec.json").read_text())
        splits = [split for split in ("train", "valid", "test") if (self.folder / split).is_dir()]
        return spec, {split: _read(self.folder / split) for split in splits}


def _read(folder: Path) -> TableRows:
    # Copy on write, for torch wants memory that may be written.
    arrays = (np.load(folder / f"{name}.npy", mmap_mode="c") for name in TableRows._fields)
    return TableRows(*map(torch.from_numpy, arrays))


def write_table(
    folder: Path, splits: dict[str, tuple[pd.DataFrame, np.ndarray]], processing: TableProcessing
) -> dict[str, Any]:
    """Encode rows in chunks into files; returns the spec, which is written beside them.

    splits: each a table and the positions of the split's rows in it.
    """
    with progress_bar(MofNCompleteColumn(), RowsPerSecond()) as bar:
        for split, (frame, positions) in splits.items():
            (folder / split).mkdir()
            task = bar.add_task(f"encoding {split}", total=len(positions))
            for rows in _encode_into(folder / split, frame, positions, processing):
                bar.advance(task, rows)
    spec = _spec(processing, _read(folder / "train"))
    (folder / "spec.json").write_text(json.dumps(spec))
    return spec


def _encode_into(
    folder: Path, frame: pd.DataFrame, positions: np.ndarray, processing: TableProcessing
) -> Iterator[int]:
    """Yields the number of rows of each chunk that is written."""
    arrays: dict[str, np.ndarray] = {}
    for start in range(0, len(positions), CHUNK):
        chunk = positions[start : start + CHUNK]
        for name, values in zip(TableRows._fields, _encode(frame.iloc[chunk], processing), strict=True):
            if name not in arrays:
                shape = (len(positions), *values.shape[1:])
                arrays[name] = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", values.dtype, shape)
            arrays[name][start : start + CHUNK] = values
        yield len(chunk)


def _encode(frame: pd.DataFrame, processing: TableProcessing) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    categories, continuous = processing.encode(frame)
    smallest = np.min_scalar_type(-max(processing.category_sizes, default=1))  # with a sign: torch has no other
    return categories.astype(smallest), continuous, processing.encode_target(frame)


def _spec(processing: TableProcessing, train: TableRows) -> dict[str, Any]:
    targets = train.targets.T if processing.task == "regression" else []
    return {
        "task": processing.task,
        "category_sizes": processing.category_sizes,
        "num_continuous": len(processing.continuous_names),
        "num_outputs": processing.num_outputs,
        "class_names": processing.class_names,
        "continuous_bins": [edges_of_bins(values.numpy()) for values in train.continuous.T],
        "target_range": [[values.min().item(), values.max().item()] for values in targets],
        "processing": processing.state,
    }


def edges_of_bins(values: np.ndarray) -> list[float]:
    """The edges of at most MAX_BINS bins with as many of the values each; at least one bin."""
    edges = np.unique(np.quantile(values, np.linspace(0, 1, MAX_BINS + 1)).astype(np.float32))
    return (edges if len(edges) > 1 else np.append(edges, edges + 1)).tolist()


class RowsPerSecond(ProgressColumn):
    """How fast the last rows were encoded."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} rows/s", style="cyan")
