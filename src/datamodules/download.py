"""Fetches the files of a data set from their official address, each once and with a checksum."""

import hashlib
import os
import urllib.request
from http.client import HTTPException
from pathlib import Path

from filelock import FileLock
from rich.progress import DownloadColumn, TransferSpeedColumn

from src.core.progress import progress_bar

TIMEOUT_S = 20  # without a word from the other side
HEADERS = {"User-Agent": "fastlight"}  # some hosts refuse Python's own


def fetch(folder: Path, files: dict[str, tuple[str, str]]) -> dict[str, Path]:
    """The paths of a data set's files, downloaded into `folder` if they are missing there.

    files: name -> (address that ends in this name, md5 checksum). A file that is there is taken as it is: only
    downloads are checked. Several processes may ask at once. Raises FileNotFoundError if there is no way to the
    address, with what to put where, and ValueError if what came is not what was published.
    """
    paths = {name: folder / name for name in files}
    if all(path.is_file() for path in paths.values()):
        return paths
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".download.lock"):
            for name, path in paths.items():
                if not path.is_file():
                    _download(*files[name], path)
    except (HTTPException, OSError) as error:
        missing = [name for name, path in paths.items() if not path.is_file()]
        origins = dict.fromkeys(files[name][0].rpartition("/")[0] + "/" for name in missing)
        raise FileNotFoundError(
            f"{folder} lacks {', '.join(missing)}, and fetching failed: {error}\n"
            f"put there these files from {' '.join(origins)}"
        ) from error
    return paths


def _download(address: str, checksum: str, path: Path) -> None:
    """Download to a neighbour of `path`, compare, then rename: a half file never has the real name."""
    part = path.with_name(path.name + ".part")
    md5 = hashlib.md5(usedforsecurity=False)
    with (
        urllib.request.urlopen(urllib.request.Request(address, headers=HEADERS), timeout=TIMEOUT_S) as response,
        part.open("wb") as file,
        progress_bar(DownloadColumn(), TransferSpeedColumn()) as bar,
    ):
        if bar.disable:
            print(f"fetching {address}", flush=True)
        task = bar.add_task(path.name, total=int(response.headers.get("Content-Length", 0)) or None)
        while chunk := response.read(1 << 18):
            file.write(chunk)
            md5.update(chunk)
            bar.advance(task, len(chunk))
    if md5.hexdigest() != checksum:
        size = part.stat().st_size
        part.unlink()
        raise ValueError(
            f"{address} gave {size:,} bytes with md5 {md5.hexdigest()}, {checksum} was published; "
            f"try again, or put the right file at {path}"
        )
    os.replace(part, path)
