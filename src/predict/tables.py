"""predict.py for tables: reads rows chunk by chunk, and writes the model's prediction for each."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, parquet

from src.core.errors import ConfigError, named
from src.core.files import staged
from src.core.output import note, show
from src.core.spreadsheets import FORMULA, TextCells, own_head
from src.datamodules.tables.checks import get_columns
from src.datamodules.tables.files import find_tables, read_chunks
from src.datamodules.tables.processing import TableProcessing
from src.datamodules.tables.targets import decode_target
from src.datamodules.tables.unread import Unread
from src.predict.members import check_members, spread_heads, together

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule

READ_ROWS = 1 << 16  # rows that are read, encoded and written at once
NET_ROWS = 1 << 12  # rows that pass the net at once
NUM_SHOWN = 10
NUM_NAMED = 5  # columns in a note
WRITERS: dict[str, Any] = {".csv": csv.CSVWriter, ".parquet": parquet.ParquetWriter}


def check(config: Mapping[str, Any]) -> None:
    """Raise ConfigError, FileNotFoundError or ValueError unless there is one table to read and a way to write."""
    found = find_tables([config["input"]])
    if len(found) > 1:
        raise ConfigError(f"input={config['input']} names {len(found)} tables: predict them one by one")
    if Path(config["output"]).suffix not in WRITERS:
        raise ConfigError(f"output={config['output']} must end in .csv or .parquet, which says how it is written")


def predict(
    models: "Sequence[LightningModule]",
    *,
    input: str,
    output: str,
    id: str | None,
    flag_outside: bool,
    interval: float | None = None,
) -> int:
    """Write a line for each row: its number from 1 or its id, then the label and the probability of each class, or the
    values of the targets in their units. The id of a CSV stays text. Of several models it is the mean of their answers,
    and the column `spread` has the standard deviation among them: of the label's probability, or of the value.

    Memory holds one chunk of rows. Rows outside the range of the first model's training rows, and its answers at the
    limit of `model.answer_margin`, are counted and told; with `flag_outside`, the column `outside` names the columns of
    each row whose number was outside. With `interval`, a share, columns have the ends of `TabularModel.interval`, of
    several models their means.

    Returns:
        The exit status, 0.

    Raises:
        ConfigError: for models that do not answer the same question.
        ValueError: for rows that cannot be read, with file, row and column; an older output then stays as it was.
    """
    [path] = find_tables([input])
    check_members([dict(model.hparams["spec"]) for model in models], ["task", "class_names"])
    members = [(model, TableProcessing.from_state(model.hparams["spec"]["processing"])) for model in models]
    check_members([{"target": processing.target} for _, processing in members], ["target"])
    strange = Strange(*members[0])
    chunks = (
        predictions(members, frame, id, strange, flag_outside, interval)
        for frame in _numbered_chunks(path, [processing for _, processing in members], id)
    )
    first, count = write_predictions(Path(output), chunks)
    show(first[:NUM_SHOWN].to_pandas().to_string(index=False, max_cols=8))
    show(f"{count:,} predictions in {output}")
    strange.tell(count)
    return 0


class Strange:
    """Counts rows unlike the training rows, and answers that were kept within the limits of the model."""

    def __init__(self, model: Any, processing: TableProcessing) -> None:
        self.processing = processing
        self.unread = Unread(processing)
        self.rows = 0  # with a number outside its range in training
        self.columns: dict[str, int] = {}  # for each column, the same
        self.answers = dict.fromkeys(processing.target if processing.task == "regression" else [], 0)  # at a limit
        limits = getattr(model, "limits", None)
        self.limits = None if limits is None else model.decoded(limits).cpu().numpy()

    def count(self, frame: pd.DataFrame, values: np.ndarray) -> list[str]:
        """Count some rows and their answers; returns for each row the names of the columns that are outside."""
        outside, missing = self.processing.outside(frame)
        self.unread.count(frame, missing)
        for name, rows in outside.items():
            self.columns[name] = self.columns.get(name, 0) + int(rows.sum())
        names = [""] * len(frame)
        for row in np.flatnonzero(np.logical_or.reduce(list(outside.values()) or [np.zeros(len(frame), bool)])):
            self.rows += 1
            names[row] = ";".join(name for name, rows in outside.items() if rows[row])
        if self.limits is not None:
            low, high = self.limits
            spare = 1e-9 * (high - low)
            at_limit = ((values <= low + spare) | (values >= high - spare)) & (high > low)
            for name, found in zip(self.answers, at_limit.sum(0).tolist(), strict=True):
                self.answers[name] += found
        return names

    def tell(self, total: int) -> None:
        """Note what was counted."""
        self.unread.tell(total)
        if self.rows:
            ordered = sorted(self.columns.items(), key=lambda pair: -pair[1])
            found = [f"{name} in {rows:,}" for name, rows in ordered if rows]
            effect = (
                "they count as the end of the range" if self.processing.clip_numbers else "such answers are guesses"
            )
            note(
                f"{self.rows:,} of {total:,} rows have numbers outside the range of the training rows "
                f"({named(found, NUM_NAMED)}): {effect}; flag_outside=true marks these rows"
            )
        for name, answers in self.answers.items():
            if answers:
                note(
                    f"{answers:,} of {total:,} predictions of {name} are at the limit of what the model answers, which "
                    "is near the range of the training targets (model.answer_margin)"
                )


def _numbered_chunks(path: Path, members: Sequence[TableProcessing], id_column: str | None) -> Iterator[pd.DataFrame]:
    """Chunks of rows that know their file and number, for error messages."""
    ids = [] if id_column is None else [id_column]
    columns = dict.fromkeys(name for processing in members for name in processing.columns)
    start = 1
    for frame in read_chunks(path, READ_ROWS):
        try:
            get_columns(frame, [*columns, *ids])
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        yield frame.set_axis(pd.RangeIndex(start, start + len(frame), name=f"{path}, row"))
        start += len(frame)


def predictions(
    members: "Sequence[tuple[LightningModule, TableProcessing]]",
    frame: pd.DataFrame,
    id_column: str | None,
    strange: Strange | None = None,
    flag_outside: bool = False,
    interval: float | None = None,
) -> pa.Table:
    """A line for each row of a chunk.

    Args:
        members: models, each with the processing of its training.
        frame: the rows.
        id_column: to copy; None for the number of each row.
        strange: it counts the rows, if they are to be counted.
        flag_outside: add the column `outside`.
        interval: add the columns `TARGET low` and `TARGET high`, for this share.
    """
    inputs = [processing.encode(frame) for _, processing in members]
    answers = np.stack([predict_values(model, *given) for (model, _), given in zip(members, inputs, strict=True)])
    outside = (strange or Strange(*members[0])).count(frame, answers[0])
    _, processing = members[0]
    is_class = processing.task != "regression"
    values, spreads = together(answers, is_class)
    heads = ["row" if id_column is None else id_column]
    columns: list[Any] = [pa.array(frame.index if id_column is None else frame[id_column], from_pandas=True)]
    if is_class:
        heads.append("label")
        columns.append(pa.array(processing.decode_target(values.argmax(1)), pa.string()))
    names = processing.class_names or processing.target
    heads += [*names, *spread_heads(len(members), names, is_class)]
    columns += [*values.T, *spreads.T]
    if interval is not None:
        ends = [
            _in_batches(model, partial(model.interval, share=interval), *given)  # pyright: ignore
            for (model, _), given in zip(members, inputs, strict=True)
        ]
        heads += [f"{name} {end}" for name in names for end in ("low", "high")]
        columns += [*np.mean(ends, 0).reshape(len(frame), -1).T]
    if flag_outside:
        heads.append("outside")
        columns.append(pa.array(outside, pa.string()))
    if len(set(heads)) < len(heads):
        raise ConfigError(f"the output would have two columns of one name, {', '.join(heads)}: choose another id")
    return pa.table(columns, heads)


def answered(model: Any, batch: Sequence[Any]) -> dict[str, Any]:
    """The true targets of a batch, in words or in their units, and beside them what `predictions` writes."""
    categories, continuous, targets = batch[:3]
    spec = model.hparams["spec"]
    known = decode_target(targets.cpu().numpy(), spec["processing"]["target"])
    values = model.predict(categories, continuous).cpu().numpy()
    if spec["task"] == "regression":
        columns = spec["processing"]["choices"]["target"]
        columns = [columns] if isinstance(columns, str) else columns
        return dict(zip((*(f"true {name}" for name in columns), *columns), (*known.T, *values.T), strict=True))
    names = spec["class_names"]
    leading = {"true label": known, "label": np.array(names, object)[values.argmax(1)]}
    heads = (own_head(name, names, ["row", *leading]) for name in names)
    return {**leading, **dict(zip(heads, values.T, strict=True))}


def predict_values(model: Any, categories: np.ndarray, continuous: np.ndarray) -> np.ndarray:
    """What `TabularModel.predict` returns, (rows, classes or targets), for any number of rows."""
    return _in_batches(model, model.predict, categories, continuous)


def _in_batches(model: Any, function: Any, *arrays: np.ndarray) -> np.ndarray:
    import torch

    batches = zip(*(torch.from_numpy(rows).split(NET_ROWS) for rows in arrays), strict=True)
    with torch.inference_mode():
        return torch.cat([function(*(rows.to(model.device) for rows in batch)).cpu() for batch in batches]).numpy()


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
