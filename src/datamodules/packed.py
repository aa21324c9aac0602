"""Reads compressed files up to a size that they can honestly have: a few kilobytes may unpack to terabytes."""

import gzip
import io
import lzma
import zipfile
from pathlib import Path
from typing import Any

RATIO, SPARE = 100, 1 << 26  # text packs to a third or a tenth, a table of few values to a fiftieth


class _Counted(io.RawIOBase):
    """What another file unpacks to, with an error where that gets too long."""

    def __init__(self, file: Any, path: Path) -> None:
        self.file, self.path = file, path
        self.left = RATIO * path.stat().st_size + SPARE

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self.file.read(len(buffer))
        self.left -= len(content)
        if self.left < 0:
            raise ValueError(
                f"{self.path} unpacks to more than {RATIO} times its size; if you know the file, unpack it yourself"
            )
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        self.file.close()
        super().close()


def open_packed(path: Path, file: Any = None, *, member: str | None = None) -> io.BufferedReader:
    """Open a .gz or .xz file, or a member of a .zip, decompressed.

    Args:
        path: the file; its ending says how it is packed.
        file: the same file, already open.
        member: the name in the .zip.

    Raises:
        ValueError: also while it is read: it unpacks to more than RATIO times its size, or is encrypted.
    """
    packed = path if file is None else file
    if member is None:
        return io.BufferedReader(_Counted({".gz": gzip.open, ".xz": lzma.open}[path.suffix.lower()](packed), path))
    try:
        return io.BufferedReader(_Counted(zipfile.ZipFile(packed).open(member), path))
    except (RuntimeError, NotImplementedError) as error:  # a password, another method
        raise ValueError(f"{path} cannot be unpacked here: {error}; unpack it yourself") from error
