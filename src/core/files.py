"""Files and folders that appear whole or not at all: written beside their place, then renamed."""

import glob
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """Give the block a file of its own to write; afterwards that file is on the disk and named `path`.

    A block that fails leaves what was at `path`. The file's name is unique: two writers never share one.

    Args:
        path: where the file belongs; its folder is made if it is missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=f".tmp{path.suffix}", dir=path.parent)
    os.close(descriptor)
    try:
        yield Path(name)
        os.chmod(name, 0o666 & ~_umask())  # mkstemp lets only the owner read
        _sync(Path(name))
        os.replace(name, path)
        with suppress(OSError):  # some file systems cannot sync a folder; the file itself is on the disk
            _sync(path.parent)
    finally:
        Path(name).unlink(missing_ok=True)


def remove_unfinished(path: Path) -> None:
    """Remove what killed processes left of a file that they were writing for `path`. No other may be writing it now."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp{glob.escape(path.suffix)}"):
        left.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with staged(path) as file:
        file.write_text(text, encoding="utf-8")


def make_whole(folder: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill the folder, unless it exists; of several processes that ask, one works and the others wait."""
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        if not folder.is_dir():
            part = folder.with_name(f"{folder.name}.part")
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir()
            write(part)
            os.replace(part, folder)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
