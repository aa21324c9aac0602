"""Digests of files' content, for which each file is read once."""

import hashlib
import os
import stat
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from src.core.files import staged
from src.core.progress import progress_bar

BLOCK = 1 << 20  # bytes that are read at once
SETTLED_NS = 2 * 10**9  # a file that was changed less long ago may change again without another time


def file_digests(paths: Sequence[str], memo: Path) -> list[str]:
    """Return a digest of each file's content; an empty text for what is not a file or cannot be opened.

    A digest is found once, and kept in `memo` as long as the file keeps its path, inode, size and times. A copy may
    keep size and date, but no program chooses the time at which a file was changed (ctime).

    On 2 CPU cores (2026-12-01), with the files in the system's cache: 50,000 JPEGs of 32x32 take 1.6 s, and 0.6 s from
    then on; their decoding takes 11 s. 398 photographs take 0.1 s, and 0.005 s from then on; their decoding 2 s.

    Args:
        paths: the files.
        memo: a file of its own, written if it can be.
    """
    known, settled = _read_memo(memo), time.time_ns() - SETTLED_NS
    identities, changed = zip(*map(_identity, paths), strict=True) if paths else ((), ())
    new = [place for place, identity in enumerate(identities) if identity and identity not in known]
    found = dict(zip(new, _digests([paths[place] for place in new]), strict=True))
    digests = [found.get(place, known.get(identity, "")) for place, identity in enumerate(identities)]
    if any(found.values()):
        rows = zip(identities, digests, changed, strict=True)
        _write_memo(memo, [f"{identity} {digest}\n" for identity, digest, at in rows if digest and at < settled])
    return digests


def _identity(path: str) -> tuple[str, int]:
    """16 hexadecimal digits that change when the file does, empty if it is not a file, and when it was changed."""
    try:
        status = os.stat(path)
    except OSError:
        return "", 0
    if not stat.S_ISREG(status.st_mode):
        return "", 0
    times = f"{status.st_mtime_ns} {status.st_ctime_ns}"
    text = f"{os.path.abspath(path)}\0{status.st_dev} {status.st_ino} {status.st_size} {times}"
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:16], status.st_ctime_ns


def _digests(paths: Sequence[str]) -> list[str]:
    with ThreadPoolExecutor() as pool, progress_bar("files") as bar:
        task = bar.add_task("comparing with the cache", total=len(paths))
        parts = [paths[start : start + 256] for start in range(0, len(paths), 256)]
        found = []
        for part in pool.map(lambda part: [_digest(path) for path in part], parts):
            found += part
            bar.advance(task, len(part))
    return found


def _digest(path: str) -> str:
    """32 hexadecimal digits of a file's content; empty if it cannot be read."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb", buffering=0) as file:
            while block := file.read(BLOCK):
                digest.update(block)
    except OSError:
        return ""
    return digest.hexdigest()[:32]


def _read_memo(memo: Path) -> dict[str, str]:
    try:
        return dict(line.split() for line in memo.read_text(encoding="ascii").splitlines())
    except (OSError, ValueError):
        return {}


def _write_memo(memo: Path, lines: list[str]) -> None:
    if not lines:
        return
    with suppress(OSError), staged(memo) as part:  # it only saves time, and the cache may belong to someone else
        part.write_text("".join(lines), encoding="ascii")
