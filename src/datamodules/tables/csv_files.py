"""Reads CSV files (plain, .gz, .xz or .zip) as Arrow tables of text, and names the line at which one is broken."""

import csv
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
from pyarrow import compute
from pyarrow import csv as arrow_csv
from rich.progress import Progress

from src.datamodules.csv_rows import LONGEST, separator_of
from src.datamodules.packed import open_packed

pc: Any = compute  # which makes its functions when it is imported
SUFFIXES = (".csv", ".csv.gz", ".csv.xz", ".csv.zip")
DAMAGES = (pa.ArrowInvalid, EOFError, lzma.LZMAError, gzip.BadGzipFile, zipfile.BadZipFile, zlib.error)
BLOCK = 1 << 24  # bytes that are read at once; a row must fit in
MAX_HEADER = 1 << 20  # characters of the first line


def is_csv(path: Path) -> bool:
    """Whether the file has the name of a CSV."""
    return path.name.lower().endswith(SUFFIXES)


def read_csv(path: Path, bar: Progress) -> pa.Table:
    """Read the whole table; every cell is text without blanks around it, or null.

    Args:
        path: the file.
        bar: shows the bytes that are read.

    Raises:
        ValueError: for a file that is not UTF-8 or is broken; the message has the line.
    """
    options = _options(path)
    with _opened(path, bar) as file, _name_broken_line(path):
        table = arrow_csv.read_csv(file, **options)
    # An open quote takes everything after it into the last row.
    if any("\n" in str(value) for row in table[-1:].to_pylist() for value in row.values()):
        _check_rows(path)
    return _trimmed(table)


def csv_batches(path: Path, bar: Progress) -> Iterator[pa.Table]:
    """Read the table piece by piece, as `read_csv` does."""
    options = _options(path)
    with _opened(path, bar) as file, _name_broken_line(path):
        for batch in arrow_csv.open_csv(file, **options):
            yield _trimmed(pa.Table.from_batches([batch]))


def _trimmed(table: pa.Table) -> pa.Table:
    columns = [pc.utf8_trim_whitespace(column) for column in table.columns]
    columns = [pc.if_else(pc.equal(column, ""), None, column) for column in columns]
    return pa.table(columns, [name.strip() for name in table.column_names])


@contextmanager
def name_damage(path: Path) -> Iterator[None]:
    """Turn the error of a damaged file into a ValueError that names the file."""
    try:
        yield
    except DAMAGES as error:
        raise ValueError(f"{path} is damaged: {str(error).splitlines()[0]}; write or fetch it again") from error


@contextmanager
def _opened(path: Path, bar: Progress | None = None) -> Iterator[IO[bytes]]:
    """Open a file, decompressed; the bar counts the bytes on disk."""
    with path.open("rb") as raw, name_damage(path):
        file: Any = raw
        if bar is not None:
            file = bar.wrap_file(raw, total=path.stat().st_size, description=f"reading {path.name}")
        if path.suffix.lower() == ".zip":
            archive = zipfile.ZipFile(file)
            names = [name for name in archive.namelist() if name.endswith(".csv") and not name.startswith("__MACOSX")]
            if len(names) != 1:
                raise ValueError(f"{path} must hold one .csv, got {', '.join(names) or 'none'}; unpack it")
            file = open_packed(path, file, member=names[0])
        elif path.suffix.lower() != ".csv":
            file = open_packed(path, file)
        yield file


def _header(path: Path) -> tuple[str, list[str]]:
    """Return the separator, which is the most frequent one in the first line, and the names of the columns."""
    with _opened(path) as file, _name_wrong_byte(path):
        lines = io.TextIOWrapper(file, "utf-8-sig", newline="")
        line = lines.readline(MAX_HEADER)
        separator = separator_of(line)
        try:
            return separator, next(csv.reader(chain([line], lines), delimiter=separator), [])
        except csv.Error as error:
            raise ValueError(f"{path}, line 1: {error}; is a quote missing?") from None


def _options(path: Path) -> dict[str, Any]:
    """Return what pyarrow has to know to read every cell as text."""
    separator, names = _header(path)
    if not names:
        raise empty(path)
    return {
        "read_options": arrow_csv.ReadOptions(block_size=BLOCK),
        "parse_options": arrow_csv.ParseOptions(delimiter=separator, newlines_in_values=True),
        "convert_options": arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), null_values=[""], strings_can_be_null=True
        ),
    }


def empty(path: Path) -> ValueError:
    """Return the error for a file without rows."""
    return ValueError(f"{path} is empty: a table has a header and rows")


@contextmanager
def _name_broken_line(path: Path) -> Iterator[None]:
    try:
        yield
    except pa.ArrowInvalid as error:
        _check_rows(path)
        raise ValueError(f"{path} is not a readable CSV: {error}") from error


@contextmanager
def _name_wrong_byte(path: Path) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8, it holds a byte 0x{error.object[error.start]:02x}; "
            "convert it, e.g. iconv -f latin1 -t utf-8"
        ) from None


def _check_rows(path: Path) -> None:
    """Raise ValueError with the line at which the first broken row begins."""
    separator, names = _header(path)
    csv.field_size_limit(LONGEST)
    with _opened(path) as file, _name_wrong_byte(path):
        rows = csv.reader(io.TextIOWrapper(file, "utf-8", newline=""), delimiter=separator, strict=True)
        line = 1
        try:
            for row in rows:
                if row and len(row) != len(names):
                    raise ValueError(f"{path}, line {line}: {len(row)} values, but the header has {len(names)} columns")
                line = rows.line_num + 1
        except csv.Error as error:
            raise ValueError(f"{path}, line {line}: {error}; is a quote missing?") from None
