"""predict.py for pictures: reads them, names their classes, writes the table."""

import csv
import glob
import os
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from src.core.errors import ConfigError
from src.datamodules.images.files import SUFFIXES, list_images, read_image

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule


@cache
def find_pictures(path: str) -> list[Path]:
    """The file, the pictures in the folder and below it, or the files that match the pattern.

    Raises ConfigError if there is none.
    """
    if Path(path).is_file():
        return [Path(path)]
    if Path(path).is_dir():
        found = [Path(file) for file in list_images(path)]
        lack = f"holds no picture ({', '.join(SUFFIXES)})"
    else:
        found = [Path(match) for match in sorted(glob.glob(path, recursive=True)) if Path(match).is_file()]
        lack = "is no file and no folder, and as a pattern matches no file"
    if not found:
        raise ConfigError(f"input={path} {lack}")
    return found


def read_batches(
    paths: list[Path], batch_size: int, side: int, channels: int, unreadable: list[str]
) -> Iterator[tuple[list[Path], np.ndarray]]:
    """Paths and pictures, uint8 (batch, side, side, channels); the message of each unreadable file is appended.

    Files are decoded by threads, a batch ahead of the one in use.
    """

    def read(path: Path) -> np.ndarray | None:
        try:
            return read_image(path, side, channels)
        except (ValueError, OSError) as error:
            unreadable.append(str(error))
            return None

    with ThreadPoolExecutor() as threads:
        ahead = None
        for start in range(0, len(paths) + batch_size, batch_size):
            here, chunk = ahead, paths[start : start + batch_size]
            ahead = chunk, [threads.submit(read, path) for path in chunk]
            if here is None:
                continue
            read_here = [(path, future.result()) for path, future in zip(*here, strict=True)]
            pairs = [(path, picture) for path, picture in read_here if picture is not None]
            if pairs:
                yield [path for path, _ in pairs], np.stack([picture for _, picture in pairs])


def probabilities(model: "LightningModule", pictures: np.ndarray, flip_tta: bool) -> np.ndarray:
    """pictures: uint8 (batch, height, width, channels).  Returns (batch, classes), each row adding up to 1."""
    import torch

    images = torch.from_numpy(pictures).to(model.device).permute(0, 3, 1, 2)
    with torch.inference_mode():
        views = [images, images.flip(3)] if flip_tta else [images]
        return torch.stack([model(view).float().softmax(1) for view in views]).mean(0).cpu().numpy()


def write_table(output: Path, names: list[str], rows: Iterable[list[Any]]) -> int:
    """Write path, label and a column for each class; the file appears when it is complete. Returns the row count."""
    count = 0
    staged = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    output.parent.mkdir(parents=True, exist_ok=True)
    try:
        with staged.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["path", "label", *names])
            for path, label, *shares in rows:
                writer.writerow([path, label, *(f"{share:.6f}" for share in shares)])
                count += 1
        os.replace(staged, output)
    finally:
        staged.unlink(missing_ok=True)
    return count


def show(output: Path, count: int, num_shown: int = 10) -> None:
    """Print the table's first rows, with the probability of the chosen class, and how many there are."""
    table = Table("path", "label", "probability")
    with output.open(newline="", encoding="utf-8") as file:
        for path, label, *shares in islice(csv.reader(file), 1, num_shown + 1):
            table.add_row(escape(path), escape(label), f"{max(map(float, shares)):.3f}")
    console = Console(highlight=False)
    if count:
        console.print(table)
    console.print(f"{count} predictions in {output}", markup=False, soft_wrap=True)


def predict_pictures(model: "LightningModule", source: str, output: Path, batch_size: int, flip_tta: bool) -> int:
    """Write a row for each picture of `source`; the exit status, 1 if a picture could not be read.

    Raises ConfigError if the model is no classifier of square pictures.
    """
    spec = model.hparams["spec"]
    if "image_size" not in spec or len(set(spec["image_size"])) != 1:
        raise ConfigError(f"the checkpoint is no classifier of square pictures: image_size {spec.get('image_size')}")
    names, side = spec["class_names"], spec["image_size"][0]
    paths, unreadable = find_pictures(source), []

    def rows() -> Iterator[list[Any]]:
        batches = read_batches(paths, batch_size, side, spec["in_chans"], unreadable)
        total = -(-len(paths) // batch_size)
        for here, pictures in track(batches, "Predicting", total, disable=not sys.stdout.isatty(), transient=True):
            for path, shares in zip(here, probabilities(model, pictures, flip_tta), strict=True):
                yield [str(path), names[shares.argmax()], *shares]

    show(output, write_table(output, names, rows()))
    if unreadable:
        sys.stderr.write("\n".join([f"error: {len(unreadable)} of {len(paths)} files left out:", *unreadable]) + "\n")
    return 1 if unreadable else 0
