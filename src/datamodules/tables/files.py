"""Reads tables from files: CSV (plain, .gz, .xz or .zip), Parquet and Feather, whole or in chunks."""

import glob
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from pyarrow import feather, parquet
from rich.progress import Progress

from src.core.progress import progress_bar
from src.datamodules.tables.checks import did_you_mean
from src.datamodules.tables.csv_files import SUFFIXES as CSV_SUFFIXES
from src.datamodules.tables.csv_files import csv_batches, empty, is_csv, name_damage, read_csv, typed

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


def read_table(patterns: Iterable[str | Path], text: Collection[str] = ()) -> pd.DataFrame:
    """Read all rows of some files as one table.

    The most frequent of , ; | and tab in the header of a CSV separates its columns. Columns without a name, such as the
    row numbers that pandas writes, are left out.

    Args:
        patterns: names or patterns.
        text: columns of a CSV that stay text: 007 stays 007. Columns that are text in one file are text in all.

    Raises:
        ValueError: for a file that is empty, is broken (with the line), lacks columns or has a column twice.
    """
    paths = find_tables(patterns)
    with progress_bar("bytes") as bar:
        tables = [_read(path, text, bar) for path in paths]
        words = {*text, *(name for table in tables for name in _text_columns(table))}
        for position, path in enumerate(paths):
            if is_csv(path) and words - {*text, *_text_columns(tables[position])}:
                tables[position] = _read(path, words, bar)
    frame = _to_pandas(_concatenated(tables, paths))
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return frame.set_axis(pd.RangeIndex(1, len(frame) + 1, name=f"{paths[0]}{more}, row"))


def read_chunks(path: str | Path, rows: int, text: Collection[str] = ()) -> Iterator[pd.DataFrame]:
    """Read one file, a number of rows at a time; see `read_table`. Memory holds one chunk, however large the file.

    The values of the chunk decide whether a column of a CSV is numbers, dates or text; `text` names columns that stay
    text.
    """
    (path,) = find_tables([path])
    table = None
    with progress_bar("bytes") as bar:
        for table in _rechunked(_pieces(path, bar), rows):
            yield _to_pandas(typed(table, text) if is_csv(path) else table)
    if table is None:
        raise empty(path)


def _read(path: Path, text: Collection[str], bar: Progress) -> pa.Table:
    if is_csv(path):
        table = read_csv(path, text, bar)
    else:
        with name_damage(path):
            table = parquet.read_table(path) if _is_parquet(path) else _whole(feather.read_table(path))
    if not table.num_rows:
        raise empty(path)
    return _named(table, path)


def _whole(rows: Any) -> Any:
    """The rows of a Feather file, whose places of texts are checked: Arrow takes them from the file as they are."""
    rows.validate(full=True)
    return rows


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() == ".parquet"


def _pieces(path: Path, bar: Progress) -> Iterator[pa.Table]:
    """Read the table piece by piece; all columns of a CSV are text."""
    with name_damage(path):
        if is_csv(path):
            batches = csv_batches(path, bar)
        elif _is_parquet(path):
            batches = parquet.ParquetFile(path).iter_batches()
        else:
            file = pa.ipc.open_file(pa.memory_map(str(path)))
            batches = (_whole(file.get_batch(number)) for number in range(file.num_record_batches))
        for batch in batches:
            yield _named(pa.Table.from_batches([batch]), path)


def _named(table: pa.Table, path: Path) -> pa.Table:
    """Return the columns that have a name. Raises ValueError if two have the same."""
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
                f"{paths[0]} and {path} do not form one table: only one of them has the columns {', '.join(differing)}"
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
    # An index that pandas has saved becomes a column if it has a name.
    return frame.reset_index(drop=frame.index.names == [None])
