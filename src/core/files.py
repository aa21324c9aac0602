"""Files and folders that appear whole or not at all: written beside their place, then renamed."""

import glob
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TypeVar

from filelock import FileLock

from src.core.output import note

Kind = TypeVar("Kind")


@contextmanager
def staged(path: Path) -> Iterator[Path]:
    """Give the block a file of its own to write; afterwards that file is on the disk and named `path`.

    A block that fails leaves what was at `path`. The file's name is unique: two writers never share one.

    Args:
        path: where the file belongs; its folder is made if it is missing.
    """
    make_folder(path.parent)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=f".tmp{path.suffix}", dir=path.parent)
    os.close(descriptor)
    try:
        yield Path(name)
        os.chmod(name, 0o666 & ~_umask())  # mkstemp lets only the owner read
        sync(Path(name))
        os.replace(name, path)
        sync(path.parent)
    finally:
        Path(name).unlink(missing_ok=True)


def remove_unfinished(path: Path) -> None:
    """Remove what killed processes left of a file that they were writing for `path`. No other may be writing it now."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp{glob.escape(path.suffix)}"):
        left.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    with staged(path) as file:
        file.write_text(text, encoding="utf-8", newline="")


def append_text(path: Path, text: str) -> None:
    """Add text at the end of a file, all of it or nothing; it is on the disk after a `sync`."""
    make_folder(path.parent)
    size = path.stat().st_size if path.is_file() else 0
    try:
        with path.open("a", encoding="utf-8", newline="") as file:
            file.write(text)
    except OSError:
        with suppress(OSError):
            os.truncate(path, size)
        raise


def read_json(path: Path, kind: type[Kind]) -> Kind | None:
    """The content of a JSON file, if it is of this kind; None without the file, or if it is damaged, which is told."""
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, kind):
        return found
    note(f"{path} is damaged and taken as empty")
    return None


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, so that they are still there after a power cut."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync(path.parent)


@contextmanager
def removed_if_empty(folder: Path) -> Iterator[None]:
    """If the block fails, remove the folder if it is empty, and empty folders above it below the current one."""
    try:
        yield
    except BaseException:
        with suppress(OSError):
            folder.rmdir()
            for parent in folder.parents:
                if Path.cwd() not in parent.parents:
                    break
                parent.rmdir()
        raise


def make_whole(
    folder: Path, write: Callable[[Path], object], is_whole: Callable[[Path], bool] = lambda folder: folder.is_dir()
) -> None:
    """Let `write` fill the folder, unless it is whole; of several processes that ask, one works and the others wait.

    The folder has its name once all its files are on the disk; it takes the place of a damaged one.
    """
    if is_whole(folder):
        return
    make_folder(folder.parent)
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        if is_whole(folder):
            return
        part = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        try:
            part.mkdir()
            write(part)
            for path in (*part.rglob("*"), part):
                sync(path)
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(part, folder)
            sync(folder.parent)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def sync(path: Path) -> None:
    """Wait until the content of a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        # Some file systems cannot sync a folder; the files in it are on the disk.
        with suppress(OSError) if path.is_dir() else nullcontext():
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
