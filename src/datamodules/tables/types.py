"""Gives the columns of an Arrow table the types that pandas needs: those of text by what all their cells are."""

import json
from collections.abc import Collection
from contextlib import suppress
from typing import Any

import pandas as pd
import pyarrow as pa
from pyarrow import compute

from src.datamodules.tables.cells import MARKS

pc: Any = compute  # which makes its functions when it is imported
MAX_EXACT = 1 << 53  # larger whole numbers are not exact as floats
FIRST = 100  # cells that are tried before all: Arrow is slow where a cast fails
LARGE_WHOLE = "^[+-]?[0-9]{16,}$"


def typed_columns(table: pa.Table, text: Collection[str], date_format: str | None) -> pa.Table:
    """Turn each column of text into numbers, truths or dates if all its cells are such, or missing.

    Args:
        table: cells without blanks around them.
        text: columns that stay text.
        date_format: if it is given, dates stay text, to be read by this format; otherwise 2013-01-31 is one.
    """
    kinds = (_numbers, _truths, _dates) if date_format is None else (_numbers, _truths)
    columns, names = {}, table.column_names
    for name in names:
        column, table = table[name], table.drop_columns([name])  # only one column is held twice
        columns[name] = column if name in text else _typed(column, kinds)
    return pa.table(columns)


def _typed(column: pa.ChunkedArray, kinds: tuple[Any, ...]) -> pa.ChunkedArray:
    is_mark = pc.is_in(column, pa.array(sorted(MARKS)))
    values = pc.if_else(is_mark, None, column) if pc.any(is_mark).as_py() else column
    for cast in kinds if values.null_count < len(values) else ():
        try:
            cast(values[:FIRST])
            return cast(values)
        except pa.ArrowInvalid:
            continue
    return column  # in text, marks are words


def _numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    floats = column.cast(pa.float64())
    with suppress(pa.ArrowInvalid):
        column[:FIRST].cast(pa.int64())
        return column.cast(pa.int64())
    if pc.any(pc.match_substring(column, "+")).as_py():
        with suppress(pa.ArrowInvalid):
            return pc.replace_substring_regex(column, "^[+]", "").cast(pa.int64())
    largest = pc.max(pc.abs(floats)).as_py()
    if largest is not None and largest >= MAX_EXACT and pc.any(pc.match_substring_regex(column, LARGE_WHOLE)).as_py():
        raise pa.ArrowInvalid("as floats, large whole numbers would be others")
    return floats


def _truths(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.bool_())


def _dates(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.timestamp("s"))


def is_text(kind: pa.DataType) -> bool:
    """Whether a type of Arrow is one of text."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def with_index(table: pa.Table, start: int = 0) -> pa.Table:
    """Return a table with the index that pandas has saved with it: as a column if it has a name, else not at all.

    Args:
        table: rows of a file, with the file's metadata.
        start: the place of the first row in the file.
    """
    saved = json.loads((table.schema.metadata or {}).get(b"pandas", b"{}")).get("index_columns", [])
    for index in reversed(saved):
        if isinstance(index, str) and index.startswith("__index_level_"):
            table = table.drop_columns([index])
        elif isinstance(index, str):
            table = table.select([index, *(name for name in table.column_names if name != index)])
        elif index["name"] is not None:  # a range, of which the file has only the ends
            first, step = index["start"] + start * index["step"], index["step"]
            places = pa.array(range(first, first + len(table) * step, step), pa.int64())
            table = table.add_column(0, index["name"], places)
    return table.replace_schema_metadata(None)


def to_pandas(table: pa.Table) -> pd.DataFrame:
    """Return a table in pandas, with types that lose no value: decimals as floats, bytes as text."""
    table = pa.table([_plain(column) for column in table.columns], table.column_names)
    exact = {name: _exact(table[name]) for name in table.column_names if _is_inexact(table[name])}
    return table.to_pandas(date_as_object=False, split_blocks=True, self_destruct=True).assign(**exact)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.string())
        whole = pc.all(pc.match_substring_regex(column, "^-?[0-9]+$")).as_py()
        with suppress(pa.ArrowInvalid):  # too many digits
            return column.cast(pa.int64() if whole else pa.float64())
        return column
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        with suppress(pa.ArrowInvalid):  # not UTF-8
            return column.cast(pa.string())
    return column


def _is_inexact(column: pa.ChunkedArray) -> bool:
    """Whether the whole numbers of a column would change in pandas, which makes them floats for the sake of a null."""
    if not pa.types.is_integer(column.type) or not column.null_count:
        return False
    ends = pc.min_max(column).as_py().values()
    return any(end is not None and abs(end) > MAX_EXACT for end in ends)


def _exact(column: pa.ChunkedArray) -> pd.Series:
    return column.cast(pa.int64()).to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get)


def plain_frame(table: Any) -> pd.DataFrame:
    """Return a table in memory as a frame as files give it: names are text, decimals are floats.

    Args:
        table: a frame of pandas, or a table of pyarrow or another library that hands over its columns as Arrow does.

    Raises:
        ValueError: if it is something else, or two of its columns have the same name.
    """
    if not isinstance(table, pd.DataFrame):
        if not hasattr(table, "__arrow_c_stream__"):
            raise ValueError(f"columns are found by name: give a pandas or pyarrow table, got {type(table).__name__}")
        return to_pandas(pa.table(table).replace_schema_metadata(None))
    frame = table.set_axis([str(name) for name in table.columns], axis=1)
    if not frame.dtypes.eq(object).any():
        return frame
    columns = [_plain_objects(values) if values.dtype == object else values for _, values in frame.items()]
    return pd.concat(columns, axis=1)


def _plain_objects(values: pd.Series) -> pd.Series:
    """Return a column of Python's objects with the type that all of them have, if that is one of numbers or dates."""
    try:
        column = pa.array(values, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        return values
    kind = column.type
    if not (pa.types.is_decimal(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind) or _is_date(kind)):
        return values
    return to_pandas(pa.table({"": pa.chunked_array([column])})).iloc[:, 0].set_axis(values.index).rename(values.name)


def _is_date(kind: pa.DataType) -> bool:
    return pa.types.is_date(kind) or pa.types.is_timestamp(kind)
