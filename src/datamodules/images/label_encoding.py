"""Turns the texts that label images into numbers, and says how many images there are of each."""

import unicodedata
from functools import cache

import torch
from torch import Tensor

from src.core.errors import named
from src.datamodules.images.files import as_text, printable
from src.datamodules.images.label_sources import SPLIT_NAMES, Labelled
from src.datamodules.images.split import Task


def encode_labels(labelled: list[Labelled], columns: list[str], task: Task, separator: str) -> tuple[list[str], Tensor]:
    """Return the names of the classes, labels or numbers, and the labels of the files in their order, see ImageSplit.

    Args:
        labelled: their texts; for several labels an image, a file may be there several times.
        columns: what the texts of a file are called.
        task: what the labels are for.
        separator: between several labels in one text, for multilabel.

    Raises:
        ValueError: the texts do not fit the task, or valid or test has classes that train lacks.
    """
    return _ENCODERS[task](labelled, columns, separator)


@cache
def _class_name(text: str) -> str:
    """What a class is called: one name has several spellings in Unicode, and systems choose differently."""
    return unicodedata.normalize("NFC", as_text(text))


def _classes(labelled: list[Labelled], columns: list[str], separator: str) -> tuple[list[str], Tensor]:
    if len(columns) > 1:
        raise ValueError(f"task=classification needs one label for each image, got {named(columns)}")
    names = [_class_name(label.texts[0]) for label in labelled]
    class_names = sorted({name for name, label in zip(names, labelled, strict=True) if label.split == "train"})
    for split in ("valid", "test"):
        there = {name for name, label in zip(names, labelled, strict=True) if label.split == split}
        if there - set(class_names):
            raise ValueError(f"{split} has classes that train lacks: {named(sorted(there - set(class_names)))}")
    numbers = {name: number for number, name in enumerate(class_names)}
    return class_names, torch.tensor([numbers[name] for name in names])


def _tags(labelled: list[Labelled], columns: list[str], separator: str) -> tuple[list[str], Tensor]:
    """Several columns hold 0 or 1 each, a single one the names of the labels."""
    if len(columns) > 1:
        return _numbers(labelled, columns, separator)
    tags: dict[str, set[str]] = {label.file: set() for label in labelled}
    for label in labelled:
        tags[label.file] |= {_class_name(part.strip()) for part in label.texts[0].split(separator) if part.strip()}
    names = sorted(set().union(*tags.values()))
    numbers, labels = {name: number for number, name in enumerate(names)}, torch.zeros(len(tags), len(names))
    for row, each in enumerate(tags.values()):
        labels[row, [numbers[name] for name in each]] = 1
    return names, labels


def _numbers(labelled: list[Labelled], columns: list[str], separator: str) -> tuple[list[str], Tensor]:
    rows = []
    for label in labelled:
        try:
            rows.append([float(text) for text in label.texts])
        except ValueError:
            pairs = ", ".join(f"{column}={text}" for column, text in zip(columns, label.texts, strict=True))
            raise ValueError(f"the labels of {printable(label.file)} must be numbers, got {pairs}") from None
    return list(columns), torch.tensor(rows, dtype=torch.float32)


_ENCODERS = {"classification": _classes, "multilabel": _tags, "regression": _numbers}


def summary(labelled: list[Labelled], splits: list[str], labels: Tensor, names: list[str], task: Task) -> str:
    """How many images there are, of each class and in each split, in words.

    Args:
        labelled: see `encode_labels`.
        splits: of each file.
        labels: of each file.
        names: of the classes.
        task: what the labels are for.
    """
    parts = ", ".join(f"{split} {splits.count(split):,}" for split in SPLIT_NAMES if split in splits)
    if task == "regression":
        low, high = labels.amin(0).tolist(), labels.amax(0).tolist()
        ranges = [f"{printable(name)} from {a:g} to {b:g}" for name, a, b in zip(names, low, high, strict=True)]
        return f"{len(splits):,} images, {named(ranges)}; {parts}"
    counts = torch.bincount(labels, minlength=len(names)) if task == "classification" else labels.sum(0)
    each = [f"{printable(name)} {int(count):,}" for name, count in zip(names, counts, strict=True)]
    kind = "classes" if task == "classification" else "labels"
    return f"{len(splits):,} images of {len(names)} {kind}: {named(each)}; {parts}{_spellings(labelled, task)}"


def _spellings(labelled: list[Labelled], task: Task) -> str:
    """Which classes have names that Unicode spells in several ways."""
    found: dict[str, set[str]] = {}
    for label in labelled if task == "classification" else []:
        found.setdefault(_class_name(label.texts[0]), set()).add(label.texts[0])
    several = [printable(name) for name, spellings in found.items() if len(spellings) > 1]
    return f"; {named(several)} in two spellings of Unicode, taken as one class" if several else ""
