"""Finds the files of a text: plain, packed, or in a .zip."""

import fnmatch
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePath, PurePosixPath

from src.datamodules.text.source import DAMAGES, TextFile


def find_texts(folder: Path, pattern: str, column: str | None = None) -> list[TextFile]:
    """Find the files of a name or pattern in a folder: first plain ones, then .gz, .xz, and last in its .zip files.

    What macOS writes beside files (`._a.txt`, `__MACOSX`) is not text.
    """
    return next((files for files in _by_form(folder, pattern, column) if files), [])


def passed_over(folder: Path, pattern: str) -> list[TextFile]:
    """Find the files of a name or pattern that `find_texts` leaves for another form, without other forms of its files.

    Of a.txt, a.txt.gz and b.txt.gz it is the last one.
    """
    forms: list[list[TextFile]] = []
    with suppress(ValueError):  # a damaged .zip that is not needed
        forms += (files for files in _by_form(folder, pattern, None) if files)
    read = {_plain_name(file) for file in forms[0]} if forms else set()
    return [file for files in forms[1:] for file in files if _plain_name(file) not in read]


def _by_form(folder: Path, pattern: str, column: str | None) -> Iterator[list[TextFile]]:
    for suffix in ("", ".gz", ".xz"):
        paths = [path for path in sorted(folder.glob(pattern + suffix)) if path.is_file()]
        yield [TextFile(path, column=column) for path in paths if not _is_of_macos(path.relative_to(folder))]
    for path in sorted(folder.glob("*.zip")):
        try:
            with zipfile.ZipFile(path) as archive:
                names = map(PurePosixPath, sorted(archive.namelist()))
                found = [name for name in names if fnmatch.fnmatch(name.name, pattern) and not _is_of_macos(name)]
        except DAMAGES as error:
            raise ValueError(f"{path} is damaged: {error}; fetch it again") from error
        yield [TextFile(path, str(name), column) for name in found]


def _is_of_macos(path: PurePath) -> bool:
    return path.name.startswith("._") or "__MACOSX" in path.parts


def _plain_name(file: TextFile) -> str:
    if file.member is not None:
        return PurePosixPath(file.member).name
    return file.path.name.removesuffix(".gz").removesuffix(".xz")
