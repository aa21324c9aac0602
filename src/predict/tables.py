"""predict.py for tables: reads rows chunk by chunk, and writes the model's prediction for each."""

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, parquet

from src.core.errors import ConfigError
from src.core.files import staged
from src.core.output import show
from src.core.spreadsheets import FORMULA, TextCells
from src.datamodules.tables.checks import get_columns
from src.datamodules.tables.files import find_tables, read_chunks
from src.datamodules.tables.processing import TableProcessing

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule

READ_ROWS = 1 << 16  # rows that are read, encoded and written at once
NET_ROWS = 1 << 12  # rows that pass the net at once
NUM_SHOWN = 10
WRITERS: dict[str, Any] = {".csv": csv.CSVWriter, ".parquet": parquet.ParquetWriter}


def check(config: Mapping[str, Any]) -> None:
    """Raise ConfigError, FileNotFoundError or ValueError unless there is one table to read and a way to write."""
    found = find_tables([config["input"]])
    if len(found) > 1:
        raise ConfigError(f"input={config['input']} names {len(found)} tables: predict them one by one")
    if Path(config["output"]).suffix not in WRITERS:
        raise ConfigError(f"output={config['output']} must end in .csv or .parquet, which says how it is written")


def predict(model: "LightningModule", *, input: str, output: str, id: str | None) -> int:
    """Write a line for each row: its number from 1 or its id, then the label and the probability of each class, or the
    values of the targets in their units. The id of a CSV stays text.

    Memory holds one chunk of rows.

    Returns:
        The exit status, 0.

    Raises:
        ValueError: for rows that cannot be read, with file, row and column; an older output then stays as it was.
    """
    [path] = find_tables([input])
    processing = TableProcessing.from_state(model.hparams["spec"]["processing"])
    chunks = (predictions(model, processing, frame, id) for frame in _numbered_chunks(path, processing, id))
    first, count = write_predictions(Path(output), chunks)
    show(first[:NUM_SHOWN].to_pandas().to_string(index=False, max_cols=8))
    show(f"{count:,} predictions in {output}")
    return 0


def _numbered_chunks(path: Path, processing: TableProcessing, id_column: str | None) -> Iterator[pd.DataFrame]:
    """Chunks of rows that know their file and number, for error messages."""
    ids = [] if id_column is None else [id_column]
    start = 1
    for frame in read_chunks(path, READ_ROWS, [*processing.text_columns, *ids]):
        try:
            get_columns(frame, [*processing.columns, *ids])
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
    """What `TabularModel.predict` returns, float32 (rows, classes or targets), for any number of rows."""
    import torch

    batches = zip(*(torch.from_numpy(rows).split(NET_ROWS) for rows in (categories, continuous)), strict=True)
    with torch.inference_mode():
        found = [model.predict(*(rows.to(model.device) for rows in batch)).float().cpu() for batch in batches]
    return torch.cat(found).numpy()


def write_predictions(output: Path, tables: Iterator[pa.Table]) -> tuple[pa.Table, int]:
    """Write tables below one another, whole or not at all; returns the first one and the number of rows."""
    first, count, cells = next(tables), 0, TextCells()
    names = cells.row(first.column_names) if output.suffix == ".csv" else first.column_names
    schema = first.rename_columns(list(map(str, names))).schema
    with staged(output) as part, WRITERS[output.suffix](part, schema) as writer:
        for table in chain([first], tables):
            columns = table.cast(first.schema).columns
            if output.suffix == ".csv":
                columns = [_text_kept(column, cells) for column in columns]
            writer.write_table(pa.table(columns, schema=schema))
            count += len(table)
    cells.tell(output)
    return first, count


def _text_kept(column: pa.ChunkedArray, cells: TextCells) -> pa.ChunkedArray:
    """The column without formulas; most have none."""
    is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    if not is_text or not pc.any(pc.match_substring_regex(column, FORMULA)).as_py():  # pyright: ignore
        return column
    return pa.chunked_array([cells.row(column.to_pylist())], column.type)
