"""Which images a folder holds, however they lie: their splits and labels, and what is left out."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from src.core.errors import named
from src.core.output import note, show
from src.datamodules.images.files import counted, examples, is_hidden, list_images, printable
from src.datamodules.images.label_encoding import encode_labels, summary
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
        lack = (
            f"{root} is not a folder, and archives are not unpacked" if root.exists() else f"there is no folder {root}"
        )
        raise FileNotFoundError(f"{lack}; expected there: {LAYOUTS}")
    folders = _split_folders(root)
    images, others = _images(root, folders)
    if isinstance(source, FolderNames):
        _check_classes(root, folders, images)
    labelled = [each if each.split else each._replace(split="train") for each in source.find(images)]
    if not any(label.split == "train" for label in labelled):
        lack = f"all {len(images)} images {source.lack}" if images and not labelled else "train has no image"
        raise FileNotFoundError(f"{lack}: {_found(root)}; expected in {root}: {LAYOUTS}")
    labelled = _mixed(labelled, {image.file: image for image in images})
    class_names, labels = encode_labels(labelled, source.columns, task, separator)
    files = list(dict.fromkeys(label.file for label in labelled))
    splits = {label.file: label.split or "" for label in labelled}
    form = f"{'train/' if folders else ''}{source.form}"
    return ImageList(
        root=root,
        files=files,
        splits=[splits[file] for file in files],
        labels=labels,
        class_names=class_names,
        chosen=f"{form}; {summary(labelled, list(splits.values()), labels, class_names, task)}",
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
    text = f"{folder} holds {len(full)} folder{'' if len(full) == 1 else 's'} with images"
    text += f" ({named(full)})" if full else ""
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
