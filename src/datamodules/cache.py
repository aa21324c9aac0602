"""Folders that are derived from data once, and the keys that name them."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from src.core.files import make_whole


def fingerprint(path: str | Path, name: str) -> str:
    """What changes when a file changes, found without reading it.

    Args:
        path: the file.
        name: what to call it; a moved file keeps its fingerprint if it keeps this name.
    """
    status = os.stat(path)
    return f"{name}\0{status.st_size}\0{status.st_mtime_ns}"


def fingerprint_all(paths: Iterable[Path]) -> str:
    """What changes when any of the files changes."""
    return "\0".join(fingerprint(path, path.name) for path in paths)


def cache_key(parts: Iterable[str]) -> str:
    """16 hexadecimal digits that depend on every part."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{part}\0\0".encode())
    return digest.hexdigest()[:16]


class CacheFolder:
    """A folder that one process fills and all processes read; it is complete or absent."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def build(self, write: Callable[[Path], object]) -> None:
        """Let `write` fill the folder, unless it exists. Other processes that ask wait."""
        make_whole(self.path, write)

    def file(self, name: str) -> Path:
        """Return the path of a file in the folder. Raises FileNotFoundError before `build`."""
        if not self.path.is_dir():
            raise FileNotFoundError(f"{self.path} does not exist: call prepare_data before setup")
        return self.path / name

    def read_json(self, name: str) -> Any:
        """Return the content of a JSON file. Raises FileNotFoundError before `build`."""
        return json.loads(self.file(name).read_text(encoding="utf-8"))
