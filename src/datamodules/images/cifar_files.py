"""The official files of CIFAR-10: binary or pickled, in a folder or an archive.

Source: www.cs.toronto.edu/~kriz/cifar.html, "Dataset layout".
"""

import io
import pickle
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from src.datamodules.images.split import ImageSplit

MAX_MEMBER = 1 << 26  # bytes; the largest has 31 million
PICKLED = {"train": [f"data_batch_{number}" for number in range(1, 6)], "test": ["test_batch"]}
BINARY = {split: [f"{name}.bin" for name in names] for split, names in PICKLED.items()}


def find_official(folder: Path) -> Path | None:
    """Return the first of the official folders and archives that a folder holds."""
    return next((folder / name for name in FORMS if (folder / name).exists()), None)


def read_official(path: Path) -> dict[str, ImageSplit]:
    """Return the train and test images of an official folder or archive, which is known by its name."""
    names, parse = FORMS[path.name]
    contents = read_members(path, [name for split in names.values() for name in split])
    return {split: _join([parse(contents.pop(name), name) for name in names[split]]) for split in names}


def _join(parts: list[tuple[np.ndarray, np.ndarray]]) -> ImageSplit:
    """Make one split of planes (rows, 3 * 32 * 32) and labels; its images have channels last."""
    images = np.empty((sum(len(labels) for _, labels in parts), 32, 32, 3), np.uint8)
    start = 0
    for planes, labels in parts:
        images[start : start + len(labels)] = planes.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        start += len(labels)
    labels = np.concatenate([labels for _, labels in parts]).astype(np.int64)
    return ImageSplit(torch.from_numpy(images), torch.from_numpy(labels))


def parse_binary(content: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Parse records of one label byte and 1024 bytes each of red, green and blue.

    Returns:
        Planes (rows, 3072) and labels (rows,), uint8.
    """
    if not content or len(content) % 3073:
        raise ValueError(f"CIFAR-10's {name} must hold records of 3073 bytes, got {len(content):,} bytes")
    records = np.frombuffer(content, np.uint8).reshape(-1, 3073)
    return _checked(records[:, 1:], records[:, 0], name)


def parse_pickle(content: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Parse a pickled dict of `data` and `labels` without running its code; returns the same as `parse_binary`."""
    try:
        batch = PlainUnpickler(io.BytesIO(content), encoding="bytes").load()
        planes, labels = batch[b"data"], np.asarray(batch[b"labels"])
    except Exception as error:  # of many kinds
        raise ValueError(f"CIFAR-10's {name} must be a pickled dict of data and labels: {error}") from error
    if not isinstance(planes, np.ndarray) or planes.dtype != np.uint8 or planes.shape != (len(labels), 3072):
        raise ValueError(f"CIFAR-10's {name} must hold 3072 bytes for each of {len(labels)} labels")
    return _checked(planes, labels, name)


def _checked(planes: np.ndarray, labels: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    if labels.min() < 0 or labels.max() > 9:
        raise ValueError(f"CIFAR-10's {name} must hold labels from 0 to 9, got {labels.min()} to {labels.max()}")
    return planes, labels


class PlainUnpickler(pickle.Unpickler):
    """Builds arrays and plain types; refuses everything else that a pickle may ask for."""

    # The official files use the old name of its module; numpy 2 warns if that is imported.
    reconstruct = np.empty(0).__reduce__()[0]
    allowed: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy.core.multiarray", "_reconstruct"): reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): reconstruct,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module_name: str, global_name: str) -> Any:
        if (module_name, global_name) not in self.allowed:
            raise pickle.UnpicklingError(f"{module_name}.{global_name} is not allowed")
        return self.allowed[module_name, global_name]


def read_members(path: Path, names: list[str]) -> dict[str, bytes]:
    """Return the content of the named files in a folder or a .tar.gz.

    Raises ValueError if a file is missing, or if the archive is damaged.
    """
    if path.is_dir():
        contents = {name: (path / name).read_bytes() for name in names if (path / name).is_file()}
    else:
        contents = {}
        try:
            with tarfile.open(path) as archive:
                for member in archive:
                    name = member.name.rpartition("/")[2]
                    # Nothing is unpacked to the disk, and only plain files are read: links lead anywhere.
                    if name in names and member.isreg() and (file := archive.extractfile(member)):
                        if member.size > MAX_MEMBER:
                            raise ValueError(f"{path} holds a {name} of {member.size:,} bytes, which CIFAR-10 has not")
                        contents[name] = file.read()
        except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
            raise ValueError(f"{path} is damaged ({error}); delete it and run again to fetch it") from error
    missing = [name for name in names if name not in contents]
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)}; delete it and run again to fetch it")
    return contents


# The binary forms come first: they need no unpickling.
FORMS: dict[str, tuple[dict[str, list[str]], Callable[[bytes, str], tuple[np.ndarray, np.ndarray]]]] = {
    "cifar-10-batches-bin": (BINARY, parse_binary),
    "cifar-10-binary.tar.gz": (BINARY, parse_binary),
    "cifar-10-batches-py": (PICKLED, parse_pickle),
    "cifar-10-python.tar.gz": (PICKLED, parse_pickle),
}
