"""predict.py for tables: reads rows piece by piece, and writes what the model says of each."""

import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv, parquet

from src.core.errors import ConfigError
from src.datamodules.tables.checks import columns_of
from src.datamodules.tables.files import SUFFIXES, find_tables, read_chunks
from src.datamodules.tables.processing import TableProcessing

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule

READ_ROWS = 1 << 16  # that are read, encoded and written at once
NET_ROWS = 1 << 12  # that pass the net at once
NUM_SHOWN = 10
WRITERS: dict[str, Any] = {".csv": csv.CSVWriter, ".parquet": parquet.ParquetWriter}


def is_table(source: str) -> bool:
    """Whether a file or pattern is named as tables are."""
    return source.lower().endswith(SUFFIXES)


def check_table(source: str, output: str) -> Path:
    """The one table that `source` names. Raises ConfigError, FileNotFoundError or ValueError if there is none."""
    found = find_tables([source])
    if len(found) > 1:
        raise ConfigError(f"input={source} names {len(found)} tables: predict them one by one")
    if Path(output).suffix not in WRITERS:
        raise ConfigError(f"output={output} must end in .csv or .parquet, which says how it is written")
    return found[0]


def predict_table(model: "LightningModule", source: str, output: Path, id_column: str | None) -> None:
    """Write a line for each row: its number from 1 or its id (of a CSV as text), then the label and the probability of
    each class, or the values of the targets in their units.

    Memory holds a chunk of rows. Raises ConfigError if the model is of no table, ValueError for rows that it cannot
    read, with file, row and column; then there is no output, or the older one.
    """
    path = check_table(source, str(output))
    state = model.hparams["spec"].get("processing")
    if not state:
        raise ConfigError(f"the checkpoint is of no table: it cannot predict input={source}")
    processing = TableProcessing.from_state(state)
    chunks = (
        predictions(model, processing, frame, id_column) for frame in _numbered_chunks(path, processing, id_column)
    )
    first, count = write_predictions(output, chunks)
    print(first[:NUM_SHOWN].to_pandas().to_string(index=False, max_cols=8))
    print(f"{count:,} predictions in {output}")


def _numbered_chunks(path: Path, processing: TableProcessing, id_column: str | None) -> Iterator[pd.DataFrame]:
    """Chunks of rows that know their file and number; errors are told by them."""
    ids = [] if id_column is None else [id_column]
    start = 1
    for frame in read_chunks(path, READ_ROWS, [*processing.text_columns, *ids]):
        try:
            columns_of(frame, [*processing.columns, *ids])
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        yield frame.set_axis(pd.RangeIndex(start, start + len(frame), name=f"{path}, row"))
        start += len(frame)


def predictions(
    model: "LightningModule", processing: TableProcessing, frame: pd.DataFrame, id_column: str | None
) -> pa.Table:
    """A line for each row of a chunk."""
    values = predict_values(model, *processing.encode(frame))
    heads = ["row" if id_column is None else id_column]
    columns: list[Any] = [pa.array(frame.index if id_column is None else frame[id_column], from_pandas=True)]
    if processing.task != "regression":
        heads.append("label")
        columns.append(pa.array(processing.decode_target(values.argmax(1)), pa.string()))
    heads += processing.class_names or processing.target
    if len(set(heads)) < len(heads):
        raise ConfigError(f"the output would have two columns of one name, {', '.join(heads)}: choose another id")
    return pa.table([*columns, *values.T], heads)


def predict_values(model: Any, categories: np.ndarray, continuous: np.ndarray) -> np.ndarray:
    """What `TabularModel.predict` says, float32 (rows, classes or targets), of any number of rows."""
    import torch

    batches = zip(*(torch.from_numpy(rows).split(NET_ROWS) for rows in (categories, continuous)), strict=True)
    with torch.inference_mode():
        found = [model.predict(*(rows.to(model.device) for rows in batch)).float().cpu() for batch in batches]
    return torch.cat(found).numpy()


def write_predictions(output: Path, tables: Iterator[pa.Table]) -> tuple[pa.Table, int]:
    """Write tables below one another; the file appears when it is complete. Returns the first, and the row count."""
    staged = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    output.parent.mkdir(parents=True, exist_ok=True)
    first, count = next(tables), 0
    try:
        with WRITERS[output.suffix](staged, first.schema) as writer:
            for table in chain([first], tables):
                writer.write_table(table.cast(first.schema))
                count += len(table)
        os.replace(staged, output)
    finally:
        staged.unlink(missing_ok=True)
    return first, count
