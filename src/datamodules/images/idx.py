"""Image sets in the idx format of MNIST."""

import gzip
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from src.datamodules.download import fetch
from src.datamodules.images.base import ImageData
from src.datamodules.images.split import ImageSplit
from src.datamodules.packed import open_packed

SPLITS = {"train": "train", "test": "t10k"}


class IdxImages(ImageData):
    """Grey images in four idx files. A subclass says where they are and where they come from.

    Attributes:
        folder: the folder of the files below data_dir.
        address: the URL of the files' folder, with a slash at its end.
        checksums: file name -> md5.
    """

    folder: str
    address: str
    checksums: dict[str, str]

    def __init__(self, *, data_dir: str, **image_data: Any) -> None:
        super().__init__(**image_data)
        self.data_dir = data_dir

    def prepare_data(self) -> None:
        fetch(
            Path(self.data_dir, self.folder), {name: (self.address + name, md5) for name, md5 in self.checksums.items()}
        )

    def read(self) -> dict[str, ImageSplit]:
        return {split: self._read(prefix) for split, prefix in SPLITS.items()}

    def _read(self, prefix: str) -> ImageSplit:
        folder = Path(self.data_dir, self.folder)
        images = read_idx(folder / f"{prefix}-images-idx3-ubyte.gz", dimensions=3)
        labels = read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", dimensions=1)
        if len(images) != len(labels) or not len(labels) or labels.max() >= len(type(self).class_names):
            raise ValueError(
                f"{folder}/{prefix}-* must hold a label below {len(type(self).class_names)} for each image, "
                f"got {len(images)} images and {len(labels)} labels up to {labels.max(initial=0)}"
            )
        return ImageSplit(torch.from_numpy(images)[..., None], torch.from_numpy(labels).long())


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Read the uint8 array in a gzipped idx file.

    Source: yann.lecun.com/exdb/mnist, "the IDX file format": two zero bytes, a type, the number of dimensions, their
    sizes as big-endian integers, the values.

    Raises ValueError if the file is damaged or holds something else.
    """
    try:
        with open_packed(path) as file:
            content = file.read()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is damaged ({error}); delete it and run again to fetch it") from error
    start = 4 + 4 * dimensions
    shape = tuple(np.frombuffer(content[4:start].ljust(4 * dimensions, b"\0"), ">u4").tolist())
    size = int(np.prod(shape))
    if content[:4] != bytes([0, 0, 8, dimensions]) or len(content) != start + size:
        raise ValueError(
            f"{path} must be an idx file of bytes in {dimensions} dimensions, got {len(content):,} bytes that begin "
            f"with {content[:4].hex(' ')}; delete it and run again to fetch it"
        )
    # A copy, because torch needs memory that it may write to.
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()
