"""Which images a folder holds, however they lie: their splits and labels, and what is left out."""

import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from src.core.errors import named
from src.core.output import note, show
from src.datamodules.images.files import as_text, counted, examples, is_hidden, list_images, printable
from src.datamodules.images.label_sources import SPLIT_NAMES, FolderNames, ImageFile, Labelled, LabelSource
from src.datamodules.images.split import Task

LAYOUTS = (
    "train/CLASS/*.jpg and the same below valid/ (or val/, validation/, dev/) and test/ if they exist, or CLASS/*.jpg, "
    "or any folders with datamodule.labels=labels.csv or datamodule.label_regex='^(.+)_[0-9]+'"
)


@dataclass
class ImageList:
    """The images of a folder.

    Attributes:
        root: the folder.
        files: below the root; of each split in mixed order, so that any first few batches hold all classes.
        splits: `train`, `valid` or `test`, of each file.
        labels: of each file, see ImageSplit.
        class_names: the classes, or the names of the numbers.
        chosen: how the files lie, and how many there are.
        left_out: what is not read; may be empty.
    """

    root: Path
    files: list[str]
    splits: list[str]
    labels: Tensor
    class_names: list[str]
    chosen: str
    left_out: str

    def tell(self) -> None:
        """Say what was found and what is left out, a line each."""
        rank_zero_only(show)(f"{self.root}: {self.chosen}")
        if self.left_out:
            rank_zero_only(note)(f"{self.root}: left out: {self.left_out}")


def list_folder(root: Path, source: LabelSource, task: Task = "classification", separator: str = " ") -> ImageList:
    """Find the images below a folder, and their labels.

    If the folder holds a folder `train`, in any case, those of SPLIT_NAMES are the splits; else all images are `train`.

    Args:
        root: the folder.
        source: of the labels.
        task: what they are for.
        separator: between several labels in one text, for multilabel.

    Raises:
        FileNotFoundError: there is no such folder, or no known layout in it.
        ValueError: labels or folders are not as they have to be.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"there is no folder {root}; expected there: {LAYOUTS}")
    folders = _split_folders(root)
    images, others = _images(root, folders)
    if isinstance(source, FolderNames):
        _check_classes(root, folders, images)
    labelled = [each if each.split else each._replace(split="train") for each in source.find(images)]
    if not any(label.split == "train" for label in labelled):
        lack = f"all {len(images)} images {source.lack}" if images and not labelled else "train has no image"
        raise FileNotFoundError(f"{lack}: {_found(root)}; expected in {root}: {LAYOUTS}")
    labelled = _mixed(labelled, {image.file: image for image in images})
    class_names, labels = _ENCODERS[task](labelled, source.columns, separator)
    files = list(dict.fromkeys(label.file for label in labelled))
    splits = {label.file: label.split or "" for label in labelled}
    form = f"{'train/' if folders else ''}{source.form}"
    return ImageList(
        root=root,
        files=files,
        splits=[splits[file] for file in files],
        labels=labels,
        class_names=class_names,
        chosen=f"{form}; {_summary(list(splits.values()), labels, class_names, task)}{_spellings(labelled, task)}",
        left_out=_left_out(root, folders, [i.file for i in images if i.file not in splits], others, source),
    )


def _split_folders(root: Path) -> dict[str, str]:
    """The folder of each split; empty if there is none."""
    found: dict[str, str] = {}
    for split, names in SPLIT_NAMES.items():
        folders = [name for name in _subfolders(root) if name.lower() in names]
        if len(folders) > 1:
            raise ValueError(f"{root} must hold one {split} split, got {', '.join(folders)}")
        if folders:
            found[split] = folders[0]
    if found and "train" not in found:
        raise FileNotFoundError(f"{root} has a folder {named(list(found.values()))} but no train; expected: {LAYOUTS}")
    return found


def _images(root: Path, folders: dict[str, str]) -> tuple[list[ImageFile], list[str]]:
    """The images of the splits, and what else lies there or beside these folders."""
    images, others = [], []
    for split, folder in folders.items() or [(None, "")]:
        top = f"{root}{os.sep}{folder}" if folder else str(root)
        found, rest = list_images(top)
        start, inner = len(str(root)) + 1, len(top) + 1
        images += [ImageFile(file[start:], split, file[inner:]) for file in found]
        others += rest
    if folders:
        beside = [entry.path for entry in os.scandir(root) if not entry.is_dir() and not is_hidden(entry.name)]
        others += sorted(beside)
    return images, others


def _check_classes(root: Path, folders: dict[str, str], images: Sequence[ImageFile]) -> None:
    """Raise an error if folders are to be the classes and are not."""
    held = {
        image.inner.split(os.sep)[0] for image in images if os.sep in image.inner and image.split in (None, "train")
    }
    train = root / folders.get("train", "")
    if not held or (len(held) < 2 and not folders):
        raise FileNotFoundError(f"{_found(train)}; expected in {root}: {LAYOUTS}")
    empty = [name for name in _subfolders(train) if name not in held] if folders else []
    if empty:
        others = list_images(train / empty[0])[1]
        lack = f"; there are {counted(others, train)}" if others else ""
        raise ValueError(f"{train / empty[0]} holds no images{lack}; add some or remove it")


def _found(folder: Path) -> str:
    """What a folder holds, in words."""
    counts = {name: len(list_images(folder / name)[0]) for name in _subfolders(folder)}
    full = [printable(name) for name, count in counts.items() if count]
    inside = [name for name in counts if any(each.lower() == "train" for each in _subfolders(folder / name))]
    files = [entry.name for entry in os.scandir(folder) if not entry.is_dir() and not is_hidden(entry.name)]
    text = f"{folder} holds {len(full)} folders with images{f' ({named(full)})' if full else ''}"
    text += f", {len(counts) - len(full)} without" if len(full) < len(counts) else ""
    text += f", and the files {examples(sorted(files), 3)}" if files else ""
    return text + (f" (train lies in {folder / inside[0]}: is that the folder?)" if inside else "")


def _subfolders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not is_hidden(entry.name))


def _mixed(labelled: list[Labelled], images: dict[str, ImageFile]) -> list[Labelled]:
    """The same labels; of the files in each split's folder in mixed order, which the labels do not change."""

    def place(label: Labelled) -> tuple[str, str]:
        image = images.get(label.file)
        return image.inner.split(os.sep)[0] if image else "", label.file

    mixed = []
    for split in SPLIT_NAMES:
        here = [each for each in labelled if (((image := images.get(each.file)) and image.split) or "train") == split]
        here.sort(key=place)
        mixed += [here[number] for number in np.random.default_rng(0).permutation(len(here))]
    return mixed


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


def _summary(splits: list[str], labels: Tensor, names: list[str], task: Task) -> str:
    """How many images there are, of each class and in each split."""
    parts = ", ".join(f"{split} {splits.count(split):,}" for split in SPLIT_NAMES if split in splits)
    if task == "regression":
        low, high = labels.amin(0).tolist(), labels.amax(0).tolist()
        ranges = [f"{printable(name)} from {a:g} to {b:g}" for name, a, b in zip(names, low, high, strict=True)]
        return f"{len(splits):,} images, {named(ranges)}; {parts}"
    counts = torch.bincount(labels, minlength=len(names)) if task == "classification" else labels.sum(0)
    each = [f"{printable(name)} {int(count):,}" for name, count in zip(names, counts, strict=True)]
    kind = "classes" if task == "classification" else "labels"
    return f"{len(splits):,} images of {len(names)} {kind}: {named(each)}; {parts}"


def _spellings(labelled: list[Labelled], task: Task) -> str:
    """Which classes have names that Unicode spells in several ways."""
    found: dict[str, set[str]] = {}
    for label in labelled if task == "classification" else []:
        found.setdefault(_class_name(label.texts[0]), set()).add(label.texts[0])
    several = [printable(name) for name, spellings in found.items() if len(spellings) > 1]
    return f"; {named(several)} in two spellings of Unicode, taken as one class" if several else ""


def _left_out(
    root: Path, folders: dict[str, str], unlabelled: list[str], others: list[str], source: LabelSource
) -> str:
    table = os.path.join(root, getattr(source, "table", ""))
    others = [file for file in others if file != table]
    beside = [name for name in _subfolders(root) if name not in folders.values()] if folders else []
    parts = [counted(others, root)] if others else []
    parts += [f"images that {source.lack}: {len(unlabelled):,} ({examples(unlabelled, 2)})"] if unlabelled else []
    parts += [f"the folders {examples(beside, 5)} beside {named(list(folders.values()))}"] if beside else []
    return "; ".join(parts)
