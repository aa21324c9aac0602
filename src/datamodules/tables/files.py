"""Reads tables from files: CSV (plain, .gz, .xz or .zip), Parquet and Feather, whole or in chunks."""

import glob
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
from pyarrow import feather, parquet
from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

from src.core.progress import progress_bar
from src.datamodules.tables import csv_files as csv_tables
from src.datamodules.tables.checks import nearest
from src.datamodules.tables.csv_files import csv_batches, damage_told, empty, is_csv, read_csv, typed

SUFFIXES = (*csv_tables.SUFFIXES, ".parquet", ".feather")


def find_tables(patterns: Iterable[str | Path]) -> list[Path]:
    """The files of names and patterns (`sales/*.csv`), each once; those of a pattern in the order of their names.

    Raises FileNotFoundError for a pattern without files, ValueError for a file that is no table.
    """
    found = []
    for pattern in map(str, patterns):
        paths = [pattern] if Path(pattern).is_file() else sorted(glob.glob(pattern, recursive=True))
        if not paths:
            beside = map(str, Path(pattern).parent.glob("*"))
            raise FileNotFoundError(f"there is no file {pattern}{nearest(pattern, beside)}")
        found += map(Path, paths)
    wrong = [str(path) for path in found if not path.name.lower().endswith(SUFFIXES)]
    if wrong:
        raise ValueError(f"{wrong[0]} is no table that can be read: there are {', '.join(SUFFIXES)}")
    return list(dict.fromkeys(found))


def facts_of(paths: Iterable[Path]) -> str:
    """What changes with the files: a key for whatever is derived from them."""
    return "\0".join(f"{path.name}\0{path.stat().st_size}\0{path.stat().st_mtime_ns}" for path in paths)


def read_table(patterns: Iterable[str | Path], text: Collection[str] = ()) -> pd.DataFrame:
    """All rows of some files, as one table.

    A CSV's columns are separated by the most frequent of , ; | and tab in its header. Those without a name, such as the
    row numbers that pandas writes, are left out.
    text: columns of a CSV that stay text, so that 007 stays 007. So do those that are text in another of the files.
    Raises ValueError for a file that is empty, broken (with the line), lacks columns or has one twice.
    """
    paths = find_tables(patterns)
    with progress_bar(DownloadColumn(), TransferSpeedColumn()) as bar:
        tables = [_read(path, text, bar) for path in paths]
        words = {*text, *(name for table in tables for name in _text_columns(table))}
        for place, path in enumerate(paths):
            if is_csv(path) and words - {*text, *_text_columns(tables[place])}:
                tables[place] = _read(path, words, bar)
    frame = _to_pandas(_concatenated(tables, paths))
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return frame.set_axis(pd.RangeIndex(1, len(frame) + 1, name=f"{paths[0]}{more}, row"))


def read_chunks(path: str | Path, rows: int, text: Collection[str] = ()) -> Iterator[pd.DataFrame]:
    """The rows of one file, so many at a time; see `read_table`. Memory holds a chunk, however large the file.

    A CSV's column is a number, a date or text by the values of the chunk: what has to be text is named in `text`.
    """
    (path,) = find_tables([path])
    table = None
    with progress_bar(DownloadColumn(), TransferSpeedColumn()) as bar:
        for table in _rechunked(_pieces(path, bar), rows):
            yield _to_pandas(typed(table, text) if is_csv(path) else table)
    if table is None:
        raise empty(path)


def _read(path: Path, text: Collection[str], bar: Progress) -> pa.Table:
    if is_csv(path):
        table = read_csv(path, text, bar)
    else:
        with damage_told(path):
            table = (parquet if _is_parquet(path) else feather).read_table(path)
    if not table.num_rows:
        raise empty(path)
    return _named(table, path)


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() == ".parquet"


def _pieces(path: Path, bar: Progress) -> Iterator[pa.Table]:
    """The table piece by piece; all columns of a CSV are text."""
    with damage_told(path):
        if is_csv(path):
            batches = csv_batches(path, bar)
        elif _is_parquet(path):
            batches = parquet.ParquetFile(path).iter_batches()
        else:
            file = pa.ipc.open_file(pa.memory_map(str(path)))
            batches = map(file.get_batch, range(file.num_record_batches))
        for batch in batches:
            yield _named(pa.Table.from_batches([batch]), path)


def _named(table: pa.Table, path: Path) -> pa.Table:
    """The columns that have a name, which no other has."""
    names = [name for name in table.column_names if name]
    twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if twice:
        raise ValueError(f"{path} has several columns named {', '.join(twice)}; rename all but one")
    return table.select(names)


def _text_columns(table: pa.Table) -> set[str]:
    return {field.name for field in table.schema if pa.types.is_string(field.type)}


def _concatenated(tables: list[pa.Table], paths: list[Path]) -> pa.Table:
    for table, path in zip(tables, paths, strict=True):
        differing = sorted({*table.column_names} ^ {*tables[0].column_names})
        if differing:
            raise ValueError(
                f"{paths[0]} and {path} are no one table: only one of them has the columns {', '.join(differing)}"
            )
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


def _to_pandas(table: pa.Table) -> pd.DataFrame:
    frame = table.to_pandas(date_as_object=False, split_blocks=True, self_destruct=True)
    # An index that pandas saved becomes a column if it has a name.
    return frame.reset_index(drop=frame.index.names == [None])
