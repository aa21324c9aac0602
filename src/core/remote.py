"""Data and runs at fsspec addresses (s3://, gs://, ...): a local folder stands for the address during a run.

fsspec is imported only for an address. The user installs the package of the file system (s3fs, gcsfs, ...), which finds
credentials in its own way, such as in the environment.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from src.core.errors import first_line
from src.core.files import read_json, write_text
from src.core.output import warn
from src.core.signals import Stopped

RECORD = ".address.json"  # in the local folder: the address, and which of its files are here
STAMPS = ("etag", "ETag", "md5Hash", "mtime", "LastModified", "last_modified", "created")  # one of them in each package
FILES_PER_REQUEST = 200  # fetched together, if the file system can


class RemoteError(OSError):
    """An address cannot be read or written; the message is for the user."""


def is_address(path: str) -> bool:
    """Whether this is an fsspec address rather than a plain path."""
    return "://" in path


def folder_for(path: str, copies: str) -> str:
    """The folder below `copies` that stands for an address; a plain path stays as it is."""
    if not is_address(path):
        return path
    readable = re.sub(r"[^A-Za-z0-9.-]+", "_", path)[-80:]
    return str(Path(copies, f"{readable}-{hashlib.sha256(path.encode()).hexdigest()[:8]}"))


def shown(folder: str | Path) -> str:
    """The folder, or the address that it stands for: what the user gave."""
    copy = Copy.at(Path(folder))
    return copy.address if copy else str(folder)


class Copy:
    """A folder that stands for an address. A file moves if it has changed since it last moved, and always as a whole.

    Hidden files, and files that end in .tmp, stay where they are. Several processes may share the folder; two machines
    that write to one address are not kept apart. All errors of a file system's package become RemoteError.
    """

    def __init__(self, address: str, folder: Path) -> None:
        self.address = address
        self.folder = folder

    @classmethod
    def at(cls, folder: Path) -> "Copy | None":
        """The copy in this folder, if it is one.

        The record may have come with a folder from elsewhere: files go to its address only if the folder is the one
        that `folder_for` gives this address, or lies in it, as the jobs of a multirun do.
        """
        address = _read_record(folder)["address"]
        return cls(address, folder) if address and _stands_for(folder, address) else None

    def fetch(self) -> int:
        """Bring what was added, changed or removed at the address since the last time.

        A file that has changed only here stays, such as the end of a run that could not be sent.

        Returns:
            How many files the address holds.
        """
        from src.core.progress import progress_bar

        with self._session("read") as (files, root, moved):
            there = _list(files, root)
            changed = [n for n, stamp in there.items() if moved.get(n, [""])[0] != stamp or not self._has(n)]
            with progress_bar("files") as bar:
                task = bar.add_task(self.address, total=len(changed))
                for start in range(0, len(changed), FILES_PER_REQUEST):
                    names = changed[start : start + FILES_PER_REQUEST]
                    self._fetch(files, root, names)
                    moved.update({name: [there[name], *_state(self.folder / name)] for name in names})
                    bar.advance(task, len(names))
            for name in moved.keys() - there.keys():
                (self.folder / name).unlink(missing_ok=True)
                del moved[name]
            if changed:
                os.sync()  # on the disk before the record says that they are here
            return len(there)

    def _has(self, name: str) -> bool:
        return (self.folder / name).is_file()

    def _fetch(self, files: Any, root: str, names: list[str]) -> None:
        unfinished = [_unfinished(self.folder / name) for name in names]
        for path in unfinished:
            path.parent.mkdir(parents=True, exist_ok=True)
        files.get([f"{root}/{name}" for name in names], list(map(str, unfinished)))
        for name, path in zip(names, unfinished, strict=True):
            os.replace(path, self.folder / name)

    def send(self) -> None:
        """Write, replace and remove at the address what has changed here since the last time.

        Files are sent in the order in which they were written: a checkpoint comes after the metrics that belong to it.
        """
        with self._session("write") as (files, root, moved):
            here = {str(path.relative_to(self.folder)): _state(path) for path in _walk(self.folder)}
            for name in moved.keys() - here.keys():
                with suppress(FileNotFoundError):
                    files.rm_file(f"{root}/{name}")
                del moved[name]
            changed = [name for name, state in here.items() if moved.get(name, [""])[1:] != state]
            for name in sorted(changed, key=lambda name: here[name][1]):
                target = f"{root}/{name}"
                unfinished = str(_unfinished(Path(target)))
                if root.startswith("/"):  # not for an object store: s3fs would make a bucket of a misspelled name
                    files.makedirs(str(Path(target).parent), exist_ok=True)
                files.put_file(str(self.folder / name), unfinished)
                files.mv(unfinished, target)
                moved[name] = [_stamp(files.info(target)), *here[name]]

    @contextmanager
    def _session(self, verb: str) -> Iterator[tuple[Any, str, dict[str, list[Any]]]]:
        """The file system, the path in it, and what has moved: name -> stamp there, size and time here."""
        from filelock import FileLock

        self.folder.mkdir(parents=True, exist_ok=True)
        record = self.folder / RECORD
        with FileLock(f"{record}.lock"):
            moved = _read_record(self.folder)["files"]
            try:
                from fsspec.core import url_to_fs

                yield *url_to_fs(self.address), moved
            except Exception as error:  # each package has its own kinds
                words = first_line(error) or type(error).__name__
                raise RemoteError(f"cannot {verb} {self.address}: {words}") from error
            finally:
                write_text(record, json.dumps({"address": self.address, "files": moved}))


def _read_record(folder: Path) -> dict[str, Any]:
    """The address and the files of a copy; empty if there is no record, or none that can be read."""
    found: dict[str, Any] = read_json(folder / RECORD, dict) or {}
    address, files = found.get("address"), found.get("files")
    files = files.items() if isinstance(files, dict) else ()
    return {
        "address": address if isinstance(address, str) else "",
        # Names that lead out of the folder would be removed there.
        "files": {name: state for name, state in files if isinstance(state, list) and not _is_private(Path(name))},
    }


def _stands_for(folder: Path, address: str) -> bool:
    for above in (folder, *folder.parents):
        below = folder.relative_to(above).as_posix()
        root = address if below == "." else address.removesuffix(f"/{below}")
        if above.name == Path(folder_for(root, ".")).name:
            return True
    return False


def _list(files: Any, root: str) -> dict[str, str]:
    """The files below a path: the name relative to it -> the stamp."""
    files.invalidate_cache()
    found = {}
    with suppress(FileNotFoundError):  # before a run its address does not exist
        found = {path[len(root) :].lstrip("/"): info for path, info in files.find(root, detail=True).items()}
    return {name: _stamp(info) for name, info in found.items() if name and not _is_private(Path(name))}


def _is_private(path: Path) -> bool:
    """Whether a file is hidden, unfinished, or would lead out of the folder."""
    return path.suffix == ".tmp" or path.is_absolute() or any(part.startswith(".") for part in path.parts)


def _walk(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        paths = (Path(parent, name) for name in names)
        yield from (path for path in paths if path.is_file() and not _is_private(path.relative_to(folder)))


def _unfinished(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")


def _stamp(info: dict[str, Any]) -> str:
    """A text that changes whenever the file does."""
    stamp = next((info[key] for key in STAMPS if info.get(key)), "")
    # memory:// gives one time as a number in a list of files, and as a datetime for a single file.
    return f"{info.get('size')} {stamp.timestamp() if isinstance(stamp, datetime) else stamp}"


def _state(path: Path) -> list[int]:
    return [path.stat().st_size, path.stat().st_mtime_ns]


def send_run(folder: Path) -> None:
    """Send a run's folder to its address, if it stands for one."""
    copy = Copy.at(folder)
    if copy:
        copy.send()


@contextmanager
def sent_at_the_end(folder: Path, config: Any) -> Iterator[None]:
    """Send a run's folder before the block and after it, even if it fails, if the folder stands for an address."""
    copy = Copy.at(folder)
    if copy is None:
        yield
        return
    copy.send()
    try:
        yield
    except BaseException as error:
        if _send_or_warn(copy) and isinstance(error, Stopped):
            error.note = error.note.replace(str(folder), copy.address)
        raise
    if config.trainer.on_save_error == "stop":
        copy.send()
    else:
        _send_or_warn(copy)


def _send_or_warn(copy: Copy) -> bool:
    try:
        copy.send()
    except RemoteError as error:
        warn(f"{error}; what is missing there is in {copy.folder}")
        return False
    return True
