"""Fetches the files of a data set from their official address, each once and with a checksum."""

import hashlib
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from http.client import HTTPException
from pathlib import Path

from filelock import FileLock

from src.core.files import staged
from src.core.output import show
from src.core.progress import progress_bar

TIMEOUT_S = 20  # without an answer
HEADERS = {"User-Agent": "fastlight"}  # some hosts refuse Python's own


_is_allowed = ContextVar("downloads", default=True)


@contextmanager
def without_downloads() -> Iterator[None]:
    """Let `fetch` take nothing from the network within the block, where a config from elsewhere names addresses."""
    before = _is_allowed.set(False)
    try:
        yield
    finally:
        _is_allowed.reset(before)


def fetch(folder: Path, files: dict[str, tuple[str, str]]) -> dict[str, Path]:
    """Return the paths of a data set's files; download those that are missing in `folder`.

    Only downloads are checked: a file that exists is used as it is. Several processes may ask at once.

    Args:
        folder: where the files belong.
        files: name -> (address that ends in this name, md5 checksum).

    Raises:
        FileNotFoundError: if the address cannot be reached; the message says which files to put where.
        ValueError: if a download is not the file that was published.
    """
    wrong = [name for name in files if Path(name).name != name or name == ".."]
    if wrong:
        raise ValueError(f"the files of a data set must be names in one folder, got {wrong[0]}")
    paths = {name: folder / name for name in files}
    if all(path.is_file() for path in paths.values()):
        return paths
    if not _is_allowed.get():
        raise FileNotFoundError(f"{folder} lacks files of the data set, and nothing is fetched here: put them there")
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
            f"{folder} lacks {', '.join(missing)}, and the download failed: {error}\n"
            f"put these files there yourself, from {' '.join(origins)}"
        ) from error
    return paths


def _download(address: str, checksum: str, path: Path) -> None:
    md5 = hashlib.md5(usedforsecurity=False)
    request = urllib.request.Request(address, headers=HEADERS)
    with staged(path) as part:
        with (
            urllib.request.urlopen(request, timeout=TIMEOUT_S) as response,
            part.open("wb") as file,
            progress_bar("bytes") as bar,
        ):
            if bar.disable:
                show(f"fetching {address}")
            task = bar.add_task(path.name, total=int(response.headers.get("Content-Length", 0)) or None)
            while chunk := response.read(1 << 18):
                file.write(chunk)
                md5.update(chunk)
                bar.advance(task, len(chunk))
        if md5.hexdigest() != checksum:
            raise ValueError(
                f"{address} sent {part.stat().st_size:,} bytes with md5 {md5.hexdigest()}, but the published file has "
                f"{checksum}; try again, or put the right file at {path}"
            )
