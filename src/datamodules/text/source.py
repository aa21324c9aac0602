"""Reads text of any size from files: plain, .gz, .xz, in a .zip or in a column of a .csv, a piece at a time."""

import codecs
import gzip
import io
import lzma
import math
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from src.datamodules.cache import fingerprint
from src.datamodules.csv_rows import csv_rows, joined
from src.datamodules.packed import open_packed

BLOCK = 1 << 16  # bytes; the words of larger blocks outgrow the CPU's cache, and encoding is up to 25 % slower
MAX_LINE = 1 << 22  # bytes; longer lines are cut at a space
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # the marks that a text in UTF-16 begins with
DAMAGES = (EOFError, lzma.LZMAError, gzip.BadGzipFile, zipfile.BadZipFile, zlib.error)


class Piece(NamedTuple):
    """Some bytes of a file, and the offset at which they begin."""

    file: "TextFile"
    offset: int
    content: bytes
    is_start: bool = False  # of a file or, in a TextSource, of a stretch of the text

    @property
    def text(self) -> str:
        """The content as text. Raises ValueError, with file and byte, if it is not UTF-8."""
        try:
            return self.content.decode()
        except UnicodeDecodeError as error:
            byte, encoding = self.content[error.start], "utf-16le" if b"\0" in self.content else "latin1"
            raise ValueError(
                f"{self.file} is not UTF-8: byte {self.offset + error.start:,} is 0x{byte:02x}; "
                f"convert it, e.g. iconv -f {encoding} -t utf-8"
            ) from None


@dataclass(frozen=True)
class TextFile:
    """One file of text."""

    path: Path
    member: str | None = None  # its name in the .zip that `path` is
    column: str | None = None  # of a .csv; each of its cells is a line
    drawn: tuple[int, float, float] | None = None  # of its cells: those for which a number by this seed is between

    def __str__(self) -> str:
        return str(self.path) if self.member is None else f"{self.path}:{self.member}"

    def fingerprint(self) -> str:
        """Return a text that changes when the file changes."""
        drawn = f"\0{self.drawn}" if self.drawn else ""
        return fingerprint(self.path, f"{self.path.name}\0{self.member}\0{self.column}{drawn}")

    def size(self) -> int:
        """Return the bytes of the text; a compressed file is read to count them."""
        if self.column is None and not self._is_utf_16():
            if self.member is not None:
                with zipfile.ZipFile(self.path) as archive:
                    return archive.getinfo(self.member).file_size
            if self.path.suffix not in (".gz", ".xz"):
                return self.path.stat().st_size
        return sum(map(len, self.blocks()))

    def _is_utf_16(self) -> bool:
        with self._open() as file:
            return file.read(2) in UTF_16

    def blocks(self) -> Iterator[bytes]:
        """Read the text as UTF-8, without the byte order mark that some editors put at its beginning."""
        return self._blocks() if self.column is None else self._cells(self.column)

    def _blocks(self) -> Iterator[bytes]:
        try:
            with self._open() as file:
                block = file.read(BLOCK)
                decoder = codecs.getincrementaldecoder("utf-16")() if block.startswith(UTF_16) else None
                block = block.removeprefix(codecs.BOM_UTF8)
                while block:
                    yield block if decoder is None else decoder.decode(block).encode("utf-8", "surrogatepass")
                    block = file.read(BLOCK)
        except DAMAGES as error:
            raise ValueError(f"{self} is damaged: {error}; fetch it again") from error

    def _open(self) -> BinaryIO:
        if self.member is None and self.path.suffix not in (".gz", ".xz"):
            return self.path.open("rb")
        return open_packed(self.path, member=self.member)

    def _cells(self, column: str) -> Iterator[bytes]:
        pieces = whole_lines(TextFile(self.path, self.member))
        rows = csv_rows(joined(line for piece in pieces for line in io.StringIO(piece.text, newline="\n")))
        if column not in (rows.fieldnames or []):
            raise ValueError(f"{self} has no column {column}, it has {', '.join(rows.fieldnames or ['none'])}")
        seed, low, high = self.drawn or (0, 0.0, 1.0)
        random = np.random.default_rng(seed)
        while batch := list(islice(rows, 1000)):
            chosen = (row for row, number in zip(batch, random.random(len(batch)), strict=True) if low <= number < high)
            if block := "".join(f"{(row[column] or '').rstrip()}\n" for row in chosen).encode():
                yield block


def whole_lines(file: TextFile) -> Iterator[Piece]:
    """Read the file in pieces that end with a line; the last line gets a line end if it has none.

    A line longer than MAX_LINE is cut at a space, or between characters if it has no space.
    """
    offset, rest = 0, b""
    for block in file.blocks():
        block = rest + block
        cut = _last_break(block)
        if cut:
            yield Piece(file, offset, block[:cut])
        offset, rest = offset + cut, block[cut:]
    if rest:
        yield Piece(file, offset, rest + b"\n")


def _last_break(block: bytes) -> int:
    line_end = block.rfind(b"\n") + 1
    if line_end or len(block) < MAX_LINE:
        return line_end
    cut = block.rfind(b" ")
    if cut < 1:
        cut = len(block) - 1
        while cut and _is_within(block[cut]):
            cut -= 1
    return cut


def _is_within(byte: int) -> bool:
    """Whether this byte is within a character of UTF-8, not its first one."""
    return byte & 0xC0 == 0x80


def _to_character(content: bytes) -> int:
    """How many bytes it is to the beginning of a character."""
    return next((number for number, byte in enumerate(content) if not _is_within(byte)), len(content))


def raw_blocks(file: TextFile) -> Iterator[Piece]:
    """Read the bytes of the file unchanged."""
    offset = 0
    for block in file.blocks():
        yield Piece(file, offset, block)
        offset += len(block)


@dataclass(frozen=True)
class TextSource:
    """Files, one after the other, or the part of them from `start` to `stop`, as shares of their size, without `hole`.

    A part begins and ends between lines, or words, and each file ends with a line end. `exact` is for sets that are
    counted in bytes: there the part is exact, and nothing is added to a file.
    """

    files: list[TextFile]
    start: float = 0.0
    stop: float = 1.0
    exact: bool = False
    hole: tuple[float, float] | None = None  # where it begins and ends
    between: bytes = b"\n"  # what the parts end with; b"": any character

    def __str__(self) -> str:
        names = [str(file) for file in self.files[:3]]
        return ", ".join(names) + (f" and {len(self.files) - 3} more" if len(self.files) > 3 else "")

    def fingerprint(self) -> str:
        """Return a text that changes when the source changes."""
        hole = f" {self.hole}" if self.hole else ""
        hole += "" if self.between == b"\n" else f" {self.between}"
        return "\0".join([*(file.fingerprint() for file in self.files), f"{self.start} {self.stop} {self.exact}{hole}"])

    def pieces(self) -> Iterator[Piece]:
        """Read the text, a piece at a time; see `whole_lines`."""
        position, stretches, begun = 0, self._stretches(), set()
        for file in self.files:
            for piece in raw_blocks(file) if self.exact else whole_lines(file):
                for start, stop in stretches:
                    first, last = self._cut(piece, start - position), self._cut(piece, stop - position)
                    if first < last:
                        is_start = piece.offset + first == 0 or start not in begun
                        begun.add(start)
                        yield Piece(file, piece.offset + first, piece.content[first:last], is_start)
                position += len(piece.content)
                if position >= stretches[-1][1]:
                    return

    def _stretches(self) -> list[tuple[float, float]]:
        """Where the text begins and ends, and begins again after a hole, in bytes."""
        if (self.start, self.stop, self.hole) == (0, 1, None):
            return [(0, math.inf)]
        size = sum(file.size() for file in self.files)
        shares = [self.start, *(self.hole or ()), self.stop]
        places = [math.inf if share == 1 else round(share * size) for share in shares]
        pairs = zip(places[::2], places[1::2], strict=True)
        return [(start, stop) for start, stop in pairs if start < stop] or [(0, 0)]

    def _cut(self, piece: Piece, place: float) -> int:
        """Move a position in the piece to the end of its line (or word), unless it is between two."""
        place = int(max(0, min(place, len(piece.content))))
        if self.exact or place in (0, len(piece.content)):
            return place
        if self.between:
            return piece.content.find(self.between, place - 1) + 1 or len(piece.content)
        return place + _to_character(piece.content[place : place + 4])
