"""Image files, decoded once into a memory map that all later runs read."""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pytorch_lightning.utilities import rank_zero_only

from src.core.errors import named
from src.core.output import note, show, warn
from src.core.progress import progress_bar
from src.datamodules.cache import CacheFolder, cache_key, reserve
from src.datamodules.images.digests import file_digests
from src.datamodules.images.files import MAX_PIXELS, Resize, examples, printable, read_image
from src.datamodules.images.label_sources import SPLIT_NAMES
from src.datamodules.images.listing import ImageList
from src.datamodules.images.split import ImageSplit

CHUNK = 1024  # images that wait for a decoder
VERSION = 3  # raise it when read_image gives other pixels for the same file, or the cache has other files
PIXELS, UNREADABLE = "pixels.bin", "unreadable.json"


class DecodedFolder:
    """The images of a folder, all of one size.

    The cache key has the name and the content of each file (see `file_digests`): another set of the same names, sizes
    and dates has another key, a copy of the same set has the same. Labels are not in it.

    Args:
        images: which they are.
        image_size: side in pixels, see `read_image`.
        channels: 1 grey, 3 colour.
        on_corrupt: "raise" fails if a file is not a readable image, "skip" warns and leaves it out; both name it.
        max_pixels: a file that claims more is not a readable image.
        resize: how an image becomes a square, see `read_image`.
        max_cache_mb: the largest cache that `build` makes, in megabytes; None: any.

    """

    def __init__(
        self,
        images: ImageList,
        *,
        image_size: int,
        channels: int,
        cache_dir: str,
        on_corrupt: Literal["raise", "skip"],
        max_pixels: int = MAX_PIXELS,
        resize: Resize = "crop",
        max_cache_mb: int | None = None,
    ) -> None:
        self.images = images
        self.root, self.files = images.root, images.files
        self.shape = (image_size, image_size, channels)
        self.on_corrupt = on_corrupt
        self.max_pixels = max_pixels
        self.cache_dir = Path(cache_dir, "images")
        self.resize: Resize = resize
        self.max_cache_mb = max_cache_mb

    @cached_property
    def digests(self) -> list[str]:
        """Of the content of each file, see `file_digests`."""
        memo = self.cache_dir / f"digests-{cache_key([os.path.abspath(self.root)])}.txt"
        return file_digests([self._path(file) for file in self.files], memo)

    @cached_property
    def cache(self) -> CacheFolder:
        """Where the decoded images are."""
        limit = "" if self.max_pixels == MAX_PIXELS else f" {self.max_pixels}"  # it decides which files are readable
        limit += "" if self.resize == "crop" else f" {self.resize}"
        key = cache_key(
            [f"{VERSION} {self.shape}{limit}", *(f"{pair}" for pair in zip(self.files, self.digests, strict=True))]
        )
        height, width, channels = self.shape
        return CacheFolder(self.cache_dir / f"{self.root.name}-{height}x{width}x{channels}-{key}")

    def _path(self, file: str) -> str:
        return f"{self.root}{os.sep}{file}"  # text and not Path, because there may be a million

    def build(self) -> None:
        """Decode all images, unless the cache has them. Other processes that ask wait.

        Raises:
            ValueError: the cache would be larger than `max_cache_mb`.
        """
        self.cache.build(self._decode_all)

    def _decode_all(self, folder: Path) -> None:
        self._tell_size()
        reserve({folder / PIXELS: self._num_bytes()})
        unreadable = {}
        with (folder / PIXELS).open("r+b") as file, progress_bar("images") as bar:
            task = bar.add_task(f"decoding {self.root.name}", total=len(self.files))
            for name, pixels in self._decoded():
                if isinstance(pixels, Exception):
                    unreadable[name] = str(pixels)
                    pixels = np.zeros(self.shape, np.uint8)
                file.write(pixels.data)
                bar.advance(task)
        (folder / UNREADABLE).write_text(json.dumps(unreadable, indent=2), encoding="utf-8")

    def _decoded(self) -> Iterator[tuple[str, np.ndarray | Exception]]:
        """Yield each file with its pixels, or with the error if it is not a readable image."""
        with ThreadPoolExecutor(self._num_threads()) as pool:
            for start in range(0, len(self.files), CHUNK):
                chunk = self.files[start : start + CHUNK]
                yield from zip(chunk, pool.map(self._decode, chunk), strict=True)

    def _decode(self, file: str) -> np.ndarray | Exception:
        try:
            return read_image(self._path(file), self.shape[0], self.shape[2], self.max_pixels, self.resize)
        except (ValueError, OSError) as error:
            return error

    def _num_threads(self) -> int:
        # Threads slow each other down if a file takes little time: 32x32 JPEGs, 6,500 per CPU-second with one thread,
        # 4,400 with two, 2,700 with four. From 64x64 on there is no loss.
        sample = self.files[:: -(-len(self.files) // 100)]
        mean_size = np.mean([os.path.getsize(path) for path in map(self._path, sample) if os.path.isfile(path)] or [0])
        return 1 if mean_size < 2048 else os.cpu_count() or 1

    def _tell_size(self) -> None:
        size_mb = self._num_bytes() / 1e6
        height, width, channels = self.shape
        what = f"{len(self.files):,} images of {height}x{width}x{channels} take {size_mb:,.1f} MB"
        if self.max_cache_mb is not None and size_mb > self.max_cache_mb:
            raise ValueError(
                f"{what}, more than datamodule.max_cache_mb={self.max_cache_mb}: lower datamodule.cache_size or "
                "image_size, or raise max_cache_mb"
            )
        show(f"{what} in {self.cache_dir}")

    def _num_bytes(self) -> int:
        return len(self.files) * int(np.prod(self.shape))

    def read(self) -> dict[str, ImageSplit]:
        """Return the splits, as rows of one memory map. Raises FileNotFoundError before `build`."""
        path = str(self.cache.file(PIXELS))
        pixels = torch.from_file(path, shared=False, size=self._num_bytes(), dtype=torch.uint8)
        images = pixels.view(-1, *self.shape)
        unreadable = self.cache.read_json(UNREADABLE)
        if unreadable:
            self._report(unreadable)
        self._tell_copies()
        readable = np.array([file not in unreadable for file in self.files])
        splits, labels = np.array(self.images.splits), self.images.labels
        return {
            split: ImageSplit(images, labels, torch.from_numpy(np.flatnonzero((splits == split) & readable)))
            for split in SPLIT_NAMES
            if split in self.images.splits
        }

    def _tell_copies(self) -> None:
        """Name the held-out images that are copies of training images: they make the scores too good."""
        splits = self.images.splits
        trained = {digest for digest, split in zip(self.digests, splits, strict=True) if digest and split == "train"}
        for name in ("valid", "test"):
            held_out = [place for place, split in enumerate(splits) if split == name]
            copies = [self.files[place] for place in held_out if self.digests[place] in trained]
            if copies:
                rank_zero_only(note)(
                    f"{len(copies)} of {len(held_out)} {name} images are copies of training images, which makes the "
                    f"scores too good: {examples(copies, 3)}"
                )

    def _report(self, unreadable: dict[str, str]) -> None:
        names = list(unreadable)
        listed = f"{named([printable(name) for name in names])} (why: {self.cache.file(UNREADABLE)})"
        message = f"{len(names)} of {len(self.files)} images in {self.root} cannot be read"
        if self.on_corrupt == "raise":
            raise ValueError(f"{message}; remove them or set datamodule.on_corrupt=skip\n{listed}")
        rank_zero_only(warn)(f"{message} and are skipped: {listed}")
