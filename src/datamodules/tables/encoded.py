"""The rows of a table as a net reads them: arrays in files, which are made once and read by all later runs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from src.core.progress import progress_bar
from src.datamodules.cache import CacheFolder, reserve
from src.datamodules.tables.checks import get_columns, row_label
from src.datamodules.tables.continuous import read_numbers
from src.datamodules.tables.processing import TableProcessing

CHUNK = 1 << 18  # rows that are encoded at a time
MAX_BINS = 48  # of a number
MAX_BINS_IN_ALL = 16_384


class TableRows(NamedTuple):
    """The rows of a split.

    Categories are the smallest integers that hold the codes: at most a quarter of the memory of int64, and rows are
    drawn 2.5 times as fast.
    """

    categories: Tensor  # (rows, categories)
    continuous: Tensor  # float32 (rows, numbers)
    targets: Tensor  # int64 (rows,), or float32 (rows, targets) for regression
    weights: Tensor | None = None  # float32 (rows,), with a mean of 1 in training

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors of a batch."""
        return tuple(tensor for tensor in self if tensor is not None)

    @property
    def rows(self) -> None:
        """None: all rows are the split's own."""

    def to(self, device: torch.device) -> "TableRows":
        """Copy the rows to a device."""
        return TableRows(*(tensor.to(device) for tensor in self.tensors))


def read_table_cache(cache: CacheFolder) -> tuple[dict[str, Any], dict[str, TableRows]]:
    """Return the spec and the rows of each split, in memory maps. Raises FileNotFoundError if nothing was built."""
    spec = cache.read_json("spec.json")
    splits = [split for split in ("train", "valid", "test") if cache.file(split).is_dir()]
    return spec, {split: _read(cache.file(split)) for split in splits}


def _read(folder: Path) -> TableRows:
    # Copy on write, because torch needs memory that it may write to.
    paths = (folder / f"{name}.npy" for name in TableRows._fields)
    return TableRows(*(torch.from_numpy(np.load(path, mmap_mode="c")) for path in paths if path.is_file()))


def write_table(
    folder: Path,
    splits: dict[str, tuple[pd.DataFrame, np.ndarray]],
    processing: TableProcessing,
    row_weight: str | None = None,
) -> dict[str, Any]:
    """Encode rows in chunks into files; return the spec, which is written beside them.

    Args:
        folder: where the files are written.
        splits: for each split, a table and the positions of the split's rows in it.
        processing: fitted to the training rows.
        row_weight: the column of the rows' weights, if they have any.
    """
    arrays = {split: _empty_arrays(folder / split, *rows, processing) for split, rows in splits.items()}
    if row_weight is not None:
        _write_weights(folder, splits, row_weight)
    reserve({path: path.stat().st_size for path in folder.glob("*/*.npy")})
    with progress_bar("rows") as bar:
        for split, (frame, positions) in splits.items():
            task = bar.add_task(f"encoding {split}", total=len(positions))
            for rows in _encode_into(arrays[split], frame, positions, processing):
                bar.advance(task, rows)
    spec = _spec(processing, _read(folder / "train"))
    (folder / "spec.json").write_text(json.dumps(spec))
    return spec


def _empty_arrays(
    folder: Path, frame: pd.DataFrame, positions: np.ndarray, processing: TableProcessing
) -> list[np.ndarray]:
    """Make the files of a split, in memory maps; the first row tells their types."""
    folder.mkdir()
    first = _encode(frame.iloc[positions[:1]], processing)
    return [
        np.lib.format.open_memmap(folder / f"{name}.npy", "w+", values.dtype, (len(positions), *values.shape[1:]))
        for name, values in zip(TableRows._fields[: len(first)], first, strict=True)
    ]


def _write_weights(folder: Path, splits: dict[str, tuple[pd.DataFrame, np.ndarray]], row_weight: str) -> None:
    """Write the weights of the rows, divided by their mean in training."""
    weights = {split: read_weights(frame.iloc[rows], row_weight) for split, (frame, rows) in splits.items()}
    mean = weights["train"].mean()
    for split, values in weights.items():
        np.save(folder / split / "weights.npy", (values / mean).astype(np.float32))


def read_weights(frame: pd.DataFrame, column: str) -> np.ndarray:
    """Return the weight of each row, float64 (rows,).

    Raises ValueError for one that is missing or negative, with its row, and if no row has any weight.
    """
    (values,) = get_columns(frame, [column])
    weights = read_numbers(values)
    wrong = ~(weights >= 0)  # also of missing ones
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"datamodule.row_weight needs a number, 0 or more, in every row: in {column!r} {row_label(values, row)} "
            f"has {values.iloc[row]}, and {wrong.sum():,} of {len(weights):,} rows are so; mend them or leave them out"
        )
    if not weights.any():
        raise ValueError(f"datamodule.row_weight: all {len(weights):,} rows of a split have the weight 0 in {column!r}")
    return weights


def _encode_into(
    arrays: list[np.ndarray], frame: pd.DataFrame, positions: np.ndarray, processing: TableProcessing
) -> Iterator[int]:
    """Yield the number of rows of each chunk that is written."""
    for start in range(0, len(positions), CHUNK):
        chunk = positions[start : start + CHUNK]
        for array, values in zip(arrays, _encode(frame.iloc[chunk], processing), strict=True):
            array[start : start + CHUNK] = values
        yield len(chunk)


def _encode(frame: pd.DataFrame, processing: TableProcessing) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    categories, continuous = processing.encode(frame)
    smallest = np.min_scalar_type(-max(processing.category_sizes, default=1))  # signed: torch has no unsigned ones
    return categories.astype(smallest), continuous, processing.encode_target(frame)


def _spec(processing: TableProcessing, train: TableRows) -> dict[str, Any]:
    targets = train.targets.T if processing.task == "regression" else []
    return {
        "task": processing.task,
        "category_sizes": processing.category_sizes,
        "num_continuous": len(processing.continuous_names),
        "num_outputs": processing.num_outputs,
        "class_names": processing.class_names,
        "continuous_bins": bins_of(train.continuous.numpy()),
        "target_range": [[values.min().item(), values.max().item()] for values in targets],
        "processing": processing.state,
    }


def bins_of(numbers: np.ndarray) -> list[list[float]]:
    """Return the edges of each column's bins: up to MAX_BINS, fewer where columns are many, since each takes time."""
    most = min(MAX_BINS, max(2, MAX_BINS_IN_ALL // max(1, numbers.shape[1])))
    return [edges_of_bins(values, most) for values in numbers.T]


def edges_of_bins(values: np.ndarray, most: int) -> list[float]:
    """Return the edges of 1 to `most` bins that hold equally many of the values."""
    edges = np.unique(np.quantile(values, np.linspace(0, 1, most + 1)).astype(np.float32))
    return (edges if len(edges) > 1 else np.append(edges, edges + 1)).tolist()
