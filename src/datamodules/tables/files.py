"""Reads tables from files: CSV (plain, .gz, .xz or .zip), Parquet and Feather, whole or in chunks."""

import glob
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import feather, parquet
from rich.progress import Progress

from src.core.progress import progress_bar
from src.datamodules.tables.checks import did_you_mean
from src.datamodules.tables.csv_files import SUFFIXES as CSV_SUFFIXES
from src.datamodules.tables.csv_files import csv_batches, empty, is_csv, name_damage, read_csv
from src.datamodules.tables.types import is_text, to_pandas, typed_columns, with_index

SUFFIXES = (*CSV_SUFFIXES, ".parquet", ".feather")


def find_tables(patterns: Iterable[str | Path]) -> list[Path]:
    """Find the files of names and patterns (`sales/*.csv`), each once; those of a pattern in the order of their names.

    Raises:
        FileNotFoundError: for a pattern without files.
        ValueError: for a file that is not a table.
    """
    found = []
    for pattern in map(str, patterns):
        paths = [pattern] if Path(pattern).is_file() else sorted(glob.glob(pattern, recursive=True))
        if not paths:
            beside = map(str, Path(pattern).parent.glob("*"))
            raise FileNotFoundError(f"there is no file {pattern}{did_you_mean(pattern, beside)}")
        found += map(Path, paths)
    wrong = [str(path) for path in found if not path.name.lower().endswith(SUFFIXES)]
    if wrong:
        raise ValueError(f"{wrong[0]} is not a readable table: its name must end in one of {', '.join(SUFFIXES)}")
    return list(dict.fromkeys(found))


def read_table(
    patterns: Iterable[str | Path], text: Collection[str] = (), *, date_format: str | None = None
) -> pd.DataFrame:
    """Read all rows of some files as one table.

    The most frequent of , ; | and tab in the header of a CSV separates its columns. Columns without a name, such as the
    row numbers that pandas writes, are left out. What all cells of a column of CSVs are, it is; see `typed_columns`.

    Args:
        patterns: names or patterns.
        text: columns of a CSV that stay text: 007 stays 007. So do those that are text in a Parquet or Feather file.
        date_format: see `typed_columns`.

    Raises:
        ValueError: for a file that is empty, is broken (with the line), lacks columns or has a column twice.
    """
    paths = find_tables(patterns)
    with progress_bar("bytes") as bar:
        tables = [_read(path, bar) for path in paths]
    _check_columns(tables, paths)
    typed = [table for path, table in zip(paths, tables, strict=True) if not is_csv(path)]
    cells = [table for path, table in zip(paths, tables, strict=True) if is_csv(path)]
    if cells:
        text = {*text, *(name for table in typed for name in _text_columns(table))}
        cells = _parts(typed_columns(pa.concat_tables(cells, promote_options="default"), text, date_format), cells)
    taken = {True: iter(cells), False: iter(typed)}
    frame = to_pandas(_concatenated([next(taken[is_csv(path)]) for path in paths], paths))
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return frame.set_axis(pd.RangeIndex(1, len(frame) + 1, name=f"{paths[0]}{more}, row"))


def read_chunks(path: str | Path, rows: int) -> Iterator[pd.DataFrame]:
    """Read one file, a number of rows at a time. Memory holds one chunk, however large the file.

    All cells of a CSV are text: what a cell means is said by the checkpoint, not by the cells around it.
    """
    (path,) = find_tables([path])
    table = None
    with progress_bar("bytes") as bar:
        for table in _rechunked(_pieces(path, bar), rows):
            yield to_pandas(table)
    if table is None:
        raise empty(path)


def _read(path: Path, bar: Progress) -> pa.Table:
    if is_csv(path):
        table = read_csv(path, bar)
    else:
        with name_damage(path):
            table = parquet.read_table(path) if _is_parquet(path) else _whole(feather.read_table(path))
    if not table.num_rows:
        raise empty(path)
    return _named(with_index(table), path)


def _parts(table: pa.Table, like: list[pa.Table]) -> list[pa.Table]:
    """Cut a table into parts as long as those of `like`."""
    ends = np.cumsum([len(part) for part in like]).tolist()
    return [table[end - len(part) : end] for end, part in zip(ends, like, strict=True)]


def _whole(rows: Any) -> Any:
    """The rows of a Feather file, whose places of texts are checked: Arrow takes them from the file as they are."""
    rows.validate(full=True)
    return rows


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() == ".parquet"


def _pieces(path: Path, bar: Progress) -> Iterator[pa.Table]:
    """Read the table piece by piece; all columns of a CSV are text."""
    start = 0
    with name_damage(path):
        for piece in _batches(path, bar):
            yield _named(with_index(piece, start), path)
            start += len(piece)


def _batches(path: Path, bar: Progress) -> Iterator[pa.Table]:
    if is_csv(path):
        return csv_batches(path, bar)
    if _is_parquet(path):
        batches = parquet.ParquetFile(path).iter_batches()
    else:
        file = pa.ipc.open_file(pa.memory_map(str(path)))
        batches = (_whole(file.get_batch(number)) for number in range(file.num_record_batches))
    return (pa.Table.from_batches([batch]) for batch in batches)


def _named(table: pa.Table, path: Path) -> pa.Table:
    """Return the columns that have a name. Raises ValueError if two have the same."""
    names = [name for name in table.column_names if name]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise ValueError(f"{path} has several columns named {', '.join(twice)}; rename all but one")
    return table.select(names)


def _text_columns(table: pa.Table) -> set[str]:
    return {field.name for field in table.schema if is_text(field.type)}


def _check_columns(tables: list[pa.Table], paths: list[Path]) -> None:
    for table, path in zip(tables, paths, strict=True):
        differing = sorted({*table.column_names} ^ {*tables[0].column_names})
        if differing:
            raise ValueError(
                f"{paths[0]} and {path} do not form one table: only one of them has the columns {', '.join(differing)}"
            )


def _concatenated(tables: list[pa.Table], paths: list[Path]) -> pa.Table:
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowTypeError as error:
        raise ValueError(f"{paths[0]} and the files after it differ in the type of a column: {error}") from error


def _rechunked(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    held = None
    for table in tables:
        held = table if held is None else pa.concat_tables([held, table])
        while len(held) >= rows:
            yield held[:rows]
            held = held[rows:]
    if held:
        yield held
