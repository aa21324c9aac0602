"""Folders that are derived from data once, and the keys that name them."""

import errno
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from src.core.checksums import block_sums
from src.core.files import make_whole
from src.core.output import note

CHECKSUMS = "checksums.json"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)

_checked: set[Path] = set()  # the folders that this process has found whole


def fingerprint(path: str | Path, name: str) -> str:
    """What changes when the content of a file changes. A second file of the same name, size and time has another.

    Args:
        path: the file; 1 GB takes a second.
        name: what to call it; a moved file keeps its fingerprint if it keeps this name.
    """
    with open(path, "rb") as file:
        return f"{name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}"


def fingerprint_all(paths: Iterable[Path]) -> str:
    """What changes when any of the files changes."""
    return "\0".join(fingerprint(path, path.name) for path in paths)


def cache_key(parts: Iterable[str]) -> str:
    """16 hexadecimal digits that depend on every part."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{part}\0\0".encode("utf-8", "surrogatepass"))  # names of files may be no UTF-8
    return digest.hexdigest()[:16]


def digest(*arrays: np.ndarray) -> str:
    """Return 16 hexadecimal digits that depend on every byte of the arrays; 0.1 s for the images of CIFAR-10."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()[:16]


def reserve(sizes: dict[Path, int]) -> None:
    """Give files their whole size on the disk, so that writing to them cannot fail later.

    Without this a full disk ends a process that writes through a memory map with a bus error.

    Args:
        sizes: for each file, of one disk, how many bytes it will have.

    Raises:
        OSError: there is not so much space.
    """
    needed, free = sum(sizes.values()), shutil.disk_usage(next(iter(sizes)).parent).free
    for path, size in sizes.items():
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if sys.platform == "linux":
                os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            raise OSError(error.errno, f"{error.strerror}, {needed:,} bytes are needed and {free:,} left") from error
        finally:
            os.close(descriptor)


class CacheFolder:
    """A folder that one process fills and all processes read; it is complete or absent, and has checksums."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def build(self, write: Callable[[Path], object]) -> None:
        """Let `write` fill the folder, unless it is there and whole. Other processes that ask wait.

        The checksums are compared once in each process. A note says why a folder that was there is made anew.

        Raises:
            OSError: the disk is full, or cache_dir cannot be written.
        """
        try:
            make_whole(self.path, partial(self._fill, write), self._is_whole)
        except OSError as error:
            if error.errno not in (*FULL, *FORBIDDEN) or not self._is_here(error.filename):
                raise
            raise OSError(f"cannot write {self.path}: {error.strerror}; choose another cache_dir") from error

    def _is_here(self, path: str | None) -> bool:
        """Whether an error's file, which a failed write does not name, belongs to the cache, and not to its source."""
        return path is None or Path(path).is_relative_to(self.path.parent) or self.path.is_relative_to(path)

    def _fill(self, write: Callable[[Path], object], folder: Path) -> None:
        if self.path.is_dir():
            note(f"{self.path} is made anew: {self._damage()}")
        write(folder)
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        sums = {str(path.relative_to(folder)): list(block_sums(path)) for path in files}
        (folder / CHECKSUMS).write_text(json.dumps(sums), encoding="utf-8")

    def _is_whole(self, path: Path) -> bool:
        if not path.is_dir() or (path not in _checked and self._damage() is not None):
            return False
        _checked.add(path)
        return True

    def _damage(self) -> str | None:
        """What is wrong with the folder; None if it is whole."""
        try:
            sums = json.loads((self.path / CHECKSUMS).read_text(encoding="utf-8"))
            damaged = [name for name, blocks in sums.items() if list(block_sums(self.path / name)) != blocks]
        except FileNotFoundError as error:
            return f"{Path(error.filename).name} is missing"
        except (OSError, ValueError, AttributeError) as error:
            return f"it cannot be read ({error})"
        return f"the checksum of {damaged[0]} does not match" if damaged else None

    def file(self, name: str) -> Path:
        """Return the path of a file in the folder. Raises FileNotFoundError before `build`."""
        if not self.path.is_dir():
            raise FileNotFoundError(f"{self.path} does not exist: call prepare_data before setup")
        return self.path / name

    def read_json(self, name: str) -> Any:
        """Return the content of a JSON file. Raises FileNotFoundError before `build`."""
        return json.loads(self.file(name).read_text(encoding="utf-8"))

    def contents(self) -> dict[str, str]:
        """Return a digest of each file but JSON, made of its checksums. Raises FileNotFoundError before `build`."""
        sums = self.read_json(CHECKSUMS)
        return {name: cache_key(map(str, blocks)) for name, blocks in sums.items() if not name.endswith(".json")}
