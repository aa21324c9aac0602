"""Folders of pictures, split/class/file, decoded once into a memory map that all later runs read."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from filelock import FileLock
from pytorch_lightning.utilities import rank_zero_warn
from rich.progress import MofNCompleteColumn, ProgressColumn, Task
from rich.text import Text

from src.core.progress import progress_bar
from src.datamodules.images.files import list_images, read_image
from src.datamodules.images.split import Images

SPLIT_NAMES = {"train": ("train",), "valid": ("valid", "val", "validation"), "test": ("test",)}
LAYOUT = "train/CLASS/*.jpg, and the same below valid/ and test/ if they exist (jpg, jpeg, png, webp, bmp)"
CHUNK = 1024  # pictures under way at once
VERSION = 1  # to be raised when read_image gives other pixels for the same file


class DecodedFolder:
    """The pictures below train/, valid/ (or val/, validation/) and test/, a folder for each class, at one size.

    on_corrupt: "raise" fails if any file is no readable picture, "skip" warns and leaves them out; both name them.

    The decoded bytes lie in cache_dir under a key made of each file's name, size and time of change: reading all
    content would cost as much as decoding it. A file that is added, removed, replaced or touched makes a new key.
    Raises FileNotFoundError or ValueError if the folder is not laid out so.
    """

    def __init__(
        self, root: Path, *, image_size: int, channels: int, cache_dir: str, on_corrupt: Literal["raise", "skip"]
    ) -> None:
        if not root.is_dir():
            raise FileNotFoundError(f"there is no folder {root}; expected there: {LAYOUT}")
        self.root = root
        self.shape = (image_size, image_size, channels)
        self.on_corrupt = on_corrupt
        folders = dict(_split_folders(root))
        self.class_names = sorted(_subfolders(folders["train"]))
        self.splits: list[str] = []
        self.labels: list[int] = []
        self.files: list[str] = []  # below root
        for split, folder in folders.items():
            self._list(split, folder)
        self.path = Path(cache_dir, "images", f"{root.name}-{image_size}x{image_size}x{channels}-{self._key()}.bin")

    def _list(self, split: str, folder: Path) -> None:
        """Note the pictures of one split."""
        names = _subfolders(folder)
        unknown = sorted(set(names) - set(self.class_names))
        if unknown:
            raise ValueError(f"{folder} has classes that {self.root}/train lacks: {', '.join(unknown)}")
        found = []
        for name in sorted(names):
            files = list_images(folder / name)
            if not files:
                raise ValueError(f"{folder / name} holds no jpg, jpeg, png, webp or bmp files; add some or remove it")
            label = self.class_names.index(name)
            found += [(file.removeprefix(f"{self.root}{os.sep}"), label) for file in files]
        # Mixed, so that a first few batches hold all classes.
        for place in np.random.default_rng(0).permutation(len(found)):
            self.files.append(found[place][0])
            self.labels.append(found[place][1])
        self.splits += [split] * len(found)

    def _key(self) -> str:
        facts = hashlib.sha256(f"{VERSION} {self.shape}".encode())
        for file in self.files:
            status = os.stat(f"{self.root}{os.sep}{file}")
            facts.update(f"\0{file}\0{status.st_size}\0{status.st_mtime_ns}".encode())
        return facts.hexdigest()[:16]

    def build(self) -> None:
        """Decode, unless that is done; of several processes that ask, one works and the others wait."""
        if self.path.is_file():
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.path.with_suffix(".lock")):
            if not self.path.is_file():
                self._decode_all()

    def _decode_all(self) -> None:
        size, free = self._num_bytes(), shutil.disk_usage(self.path.parent).free
        if free < size:
            raise OSError(f"{self.path.parent} has {free:,} bytes left, {size:,} are needed; choose another cache_dir")
        part = self.path.with_suffix(".part")
        unreadable = {}
        with (
            part.open("wb") as file,
            progress_bar(MofNCompleteColumn(), ImagesPerSecond()) as bar,
            ThreadPoolExecutor(self._num_threads()) as pool,
        ):
            task = bar.add_task(f"decoding {self.root.name}", total=len(self.files))
            for start in range(0, len(self.files), CHUNK):
                chunk = self.files[start : start + CHUNK]
                for name, pixels in zip(chunk, pool.map(self._decode, chunk), strict=True):
                    if isinstance(pixels, ValueError):
                        unreadable[name] = str(pixels)
                        pixels = np.zeros(self.shape, np.uint8)
                    file.write(pixels.data)
                    bar.advance(task)
        # The pixels last: where they are, all is there.
        self.path.with_suffix(".json").write_text(json.dumps(unreadable, indent=2))
        os.replace(part, self.path)

    def _decode(self, file: str) -> np.ndarray | ValueError:
        try:
            return read_image(f"{self.root}{os.sep}{file}", self.shape[0], self.shape[2])
        except ValueError as error:
            return error

    def _num_threads(self) -> int:
        # Threads are in each other's way where a file takes little time: 32x32 JPEGs, 6,500 a CPU-second with one
        # thread, 4,400 with two, 2,700 with four; from 64x64 on there is no loss.
        sample = self.files[:: -(-len(self.files) // 100)]
        mean_size = np.mean([os.path.getsize(f"{self.root}{os.sep}{file}") for file in sample])
        return 1 if mean_size < 2048 else os.cpu_count() or 1

    def _num_bytes(self) -> int:
        return len(self.files) * int(np.prod(self.shape))

    def read(self) -> dict[str, Images]:
        """The splits, as rows of one memory map. Raises FileNotFoundError before `build`."""
        if not self.path.is_file():
            raise FileNotFoundError(f"{self.path} does not exist: call prepare_data before setup")
        if self.path.stat().st_size != self._num_bytes():
            raise ValueError(f"{self.path} should have {self._num_bytes():,} bytes; delete it to decode again")
        pixels = torch.from_file(str(self.path), shared=False, size=self._num_bytes(), dtype=torch.uint8)
        images = pixels.view(-1, *self.shape)
        unreadable = json.loads(self.path.with_suffix(".json").read_text())
        if unreadable:
            self._report(unreadable)
        readable = np.array([file not in unreadable for file in self.files])
        splits, labels = np.array(self.splits), torch.tensor(self.labels)
        return {
            str(split): Images(images, labels, torch.from_numpy(np.flatnonzero((splits == split) & readable)))
            for split in dict.fromkeys(self.splits)
        }

    def _report(self, unreadable: dict[str, str]) -> None:
        names = list(unreadable)
        shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
        listed = f"{shown} (why: {self.path.with_suffix('.json')})"
        message = f"{len(names)} of {len(self.files)} pictures in {self.root} cannot be read"
        if self.on_corrupt == "raise":
            raise ValueError(f"{message}; remove them or set datamodule.on_corrupt=skip\n{listed}")
        rank_zero_warn(f"{message} and are skipped: {listed}")


def _split_folders(root: Path) -> Iterator[tuple[str, Path]]:
    for split, names in SPLIT_NAMES.items():
        found = [root / name for name in names if (root / name).is_dir()]
        if len(found) > 1:
            raise ValueError(f"{root} must hold one {split} split, got {', '.join(path.name for path in found)}")
        if split == "train" and not found:
            raise FileNotFoundError(f"{root} has no folder train; expected there: {LAYOUT}")
        for folder in found:
            if not _subfolders(folder):
                raise ValueError(f"{folder} has no class folders; expected in {root}: {LAYOUT}")
            yield split, folder


def _subfolders(folder: Path) -> list[str]:
    return [entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith(".")]


class ImagesPerSecond(ProgressColumn):
    """How fast the last pictures were decoded."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} images/s", style="cyan")
