"""Makes a folder of the cache once, wholly or not at all."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock


def make_whole(folder: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill the folder, unless it is there; of several processes that ask, one works and the others wait."""
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
