"""Where the labels of image files come from: their folders, their own names, or a CSV."""

import csv
import os
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from src.core.errors import named, nearest
from src.datamodules.csv_rows import csv_rows
from src.datamodules.images.files import SUFFIXES, examples

SPLIT_NAMES = {"train": ("train",), "valid": ("valid", "val", "validation", "dev"), "test": ("test",)}  # in any case
VALID = {"true": "valid", "false": "train", "1": "valid", "0": "train"}  # of a column such as is_valid


class ImageFile(NamedTuple):
    """A file below the root, the split whose folder holds it, and its path below that folder."""

    file: str
    split: str | None
    inner: str


class Labelled(NamedTuple):
    """A file, its split and its labels as texts, one for each column."""

    file: str
    split: str | None
    texts: tuple[str, ...]


class LabelSource(Protocol):
    """Finds the labels of files. What it does not return has none.

    Attributes:
        columns: the name of each text.
        form: how files lie, for messages.
        lack: what is true of an image without a label.
    """

    columns: list[str]
    form: str
    lack: str

    def find(self, images: Sequence[ImageFile]) -> list[Labelled]:
        """Return the images that have labels; a split of its own goes before that of the folder."""
        ...


class FolderNames:
    """The first folder below that of the split, whatever the depth: train/CLASS/more/1.jpg."""

    columns: list[str] = ["label"]
    form = "CLASS/*.jpg"
    lack = "lie in no class folder"

    def find(self, images: Sequence[ImageFile]) -> list[Labelled]:
        return [
            Labelled(image.file, image.split, (image.inner.split(os.sep)[0],))
            for image in images
            if os.sep in image.inner
        ]


class FileNames:
    """What a regular expression finds in a file's name.

    Args:
        pattern: searched in the name with its suffix. It has one group, the label, or named groups, one for each label.

    Raises:
        ValueError: it is not a regular expression of this kind.
    """

    lack = "have a name that label_regex does not match"

    def __init__(self, pattern: str) -> None:
        try:
            self.pattern = re.compile(pattern)
        except re.error as error:
            raise ValueError(f"datamodule.label_regex is not a regular expression, {error}: got {pattern}") from None
        self.columns = list(self.pattern.groupindex) or ["label"]
        if self.pattern.groups != len(self.columns):
            raise ValueError(
                "datamodule.label_regex must have one group, the label, such as '^(.+)_', or a name for each group, "
                f"such as '(?P<age>[0-9]+)', got {pattern}"
            )
        self.form = "names that label_regex matches"

    def find(self, images: Sequence[ImageFile]) -> list[Labelled]:
        found = []
        for image in images:
            match = self.pattern.search(os.path.basename(image.file))
            if match is not None:
                found.append(Labelled(image.file, image.split, tuple(text or "" for text in match.groups())))
        return found


class LabelTable:
    """The rows of a CSV, which name a file and its labels and, if they like, its split.

    A path is below the root. If no file lies there, its name alone says which file is meant, also without the suffix,
    if there is only one of that name; otherwise the file counts as one that cannot be read. A file may have several
    rows if they say the same, or if `several` are allowed: they are the labels of one image.

    Args:
        root: the folder of the images.
        table: the CSV, below the root.
        path_column: it names the files.
        columns: they hold the labels. A row that lacks one has no label.
        split_column: train, valid or test, or true for valid and false for train; None for a column `split`, if there
            is one.
        several: whether a file may have several rows that differ, and rows without a label.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it lacks a column or cannot be read.
    """

    def __init__(
        self,
        root: Path,
        table: str,
        *,
        path_column: str,
        columns: list[str],
        split_column: str | None,
        several: bool,
    ) -> None:
        self.root, self.table, self.columns, self.several = root, table, columns, several
        self.form, self.lack = f"labels in {table}", f"have no label in {table}"
        self.path_column = path_column
        self.rows, heads = _read_csv(root / table)
        self.split_column = "split" if split_column is None and "split" in heads else split_column
        for column in filter(None, (path_column, *columns, self.split_column)):
            if column not in heads:
                way_out = nearest(column, heads) or f"; it has {named(heads)}"
                raise ValueError(
                    f"{root / table} has no column {column}{way_out} (datamodule.path_column, label_column and "
                    "split_column name them)"
                )

    def find(self, images: Sequence[ImageFile]) -> list[Labelled]:
        splits = {image.file: image.split for image in images}
        places = _Places(self.root, splits)
        found: dict[str, list[Labelled]] = defaultdict(list)
        for number, row in enumerate(self.rows, 2):
            texts = tuple((row[column] or "").strip() for column in self.columns)
            if not all(texts) and not self.several:
                continue
            file = places.of(row[self.path_column] or "")
            split = splits.get(file) if self.split_column is None else self._split(row[self.split_column], number)
            found[file].append(Labelled(file, split, texts))
        return [label for labels in found.values() for label in self._merged(labels)]

    def _merged(self, labels: list[Labelled]) -> list[Labelled]:
        different = list(dict.fromkeys(labels))
        if len({label.split for label in different}) > 1 or (len(different) > 1 and not self.several):
            raise ValueError(
                f"{self.root / self.table} has rows of {different[0].file} that differ: {different[0][1:]} and "
                f"{different[1][1:]}"
            )
        return different

    def _split(self, text: str | None, number: int) -> str:
        word = (text or "").strip().lower()
        names = {name: split for split, names in SPLIT_NAMES.items() for name in names} | VALID
        if word not in names:
            raise ValueError(
                f"{self.root / self.table}, line {number}: {self.split_column} must be train, valid or test, or true "
                f"for valid and false for train, got {text!r}"
            )
        return names[word]


class _Places:
    """Finds the files that a table means by its paths."""

    def __init__(self, root: Path, files: dict[str, str | None]) -> None:
        self.root, self.files = root, files
        self.by_name: dict[str, list[str]] = defaultdict(list)
        for file in files:
            name = os.path.basename(file)
            for key in {name, os.path.splitext(name)[0]}:
                self.by_name[key].append(file)

    def of(self, path: str) -> str:
        path = os.path.normpath(path.strip().replace("\\", "/"))
        path = os.path.relpath(path, self.root) if os.path.isabs(path) else path
        if path in self.files or (path.lower().endswith(SUFFIXES) and (self.root / path).is_file()):
            return path
        same = self.by_name[os.path.basename(path)]
        if len(same) > 1:
            raise ValueError(
                f"{path} may be {examples(same, 3)}: the paths of a table of labels must be below {self.root}"
            )
        return same[0] if same else path


def _read_csv(path: Path) -> tuple[list[dict[str, str]], list[str]]:
    """The rows and the names of the columns."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}, which datamodule.labels names")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv_rows(file, strict=True)
            rows = [row for row in reader if any(row.values())]
            return rows, list(reader.fieldnames or [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is not a CSV in UTF-8: {error}") from None
