"""predict.py for images: reads them, finds the class of each, writes a table."""

import csv
import glob
import sys
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from src.core.errors import ConfigError
from src.core.files import staged
from src.core.output import is_quiet, note, show, show_rich
from src.core.spreadsheets import TextCells
from src.datamodules.images.files import MAX_PIXELS, SUFFIXES, counted, list_images, printable, read_image

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule

NUM_SHOWN = 10


def check(config: Mapping[str, Any]) -> None:
    """Raise ConfigError if there is no image to read, or batch_size or max_pixels is not positive."""
    find_images(config["input"])
    for key in ("batch_size", "max_pixels"):
        if config[key] < 1:
            raise ConfigError(f"{key} must be positive, got {config[key]}")


def predict(
    model: "LightningModule", *, input: str, output: str, batch_size: int, max_pixels: int, flip_tta: bool
) -> int:
    """Write a row for each image of `input`.

    Returns:
        The exit status: 1 if an image could not be read.

    Raises:
        ConfigError: if the model does not read square images.
    """
    spec = model.hparams["spec"]
    if len(set(spec["image_size"])) != 1:
        raise ConfigError(f"predict.py reads square images, the checkpoint needs image_size {spec['image_size']}")
    side = _read_size(spec)
    if batch_size * side**2 > max_pixels:
        raise ConfigError(
            f"{batch_size} images of {side} x {side} pixels at once are more than {max_pixels=}: "
            "give a smaller batch_size"
        )
    paths, unreadable = find_images(input), []
    rows = _rows(model, paths, batch_size, max_pixels, flip_tta, unreadable)
    show_table(Path(output), write_table(Path(output), spec["class_names"], rows))
    if unreadable:
        sys.stderr.write("\n".join([f"error: {len(unreadable)} of {len(paths)} files left out:", *unreadable]) + "\n")
    return 1 if unreadable else 0


@cache
def find_images(path: str) -> list[Path]:
    """The file, the images in the folder and below it, or the files that match the pattern.

    What else is in the folder is told, once.

    Raises ConfigError if there are none.
    """
    if Path(path).is_file():
        return [Path(path)]
    if Path(path).is_dir():
        images, others = list_images(path)
        found = [Path(file) for file in images]
        lack = f"holds no image ({', '.join(SUFFIXES)})"
        if found and others:
            note(f"{path}: left out: {counted(others, path)}")
    else:
        found = [Path(match) for match in sorted(glob.glob(path, recursive=True)) if Path(match).is_file()]
        lack = "is not a file or a folder, and as a pattern matches no file"
    if not found:
        raise ConfigError(f"input={path} {lack}")
    return found


def _rows(
    model: "LightningModule",
    paths: list[Path],
    batch_size: int,
    max_pixels: int,
    flip_tta: bool,
    unreadable: list[str],
) -> Iterator[list[Any]]:
    """Path, label and probabilities of each image."""
    spec = model.hparams["spec"]
    batches = read_batches(paths, batch_size, spec, unreadable, max_pixels)
    total = -(-len(paths) // batch_size)
    hidden = is_quiet() or not sys.stdout.isatty()
    for here, images in track(batches, "Predicting", total, disable=hidden, transient=True):
        for path, shares in zip(here, probabilities(model, images, flip_tta), strict=True):
            yield [printable(str(path)), spec["class_names"][shares.argmax()], *shares]


def _read_size(spec: Mapping[str, Any]) -> int:
    """The side at which files are read: that of the cache in which training had its images."""
    return spec.get("cache_size", spec["image_size"][0])


def read_batches(
    paths: list[Path],
    batch_size: int,
    spec: Mapping[str, Any],
    unreadable: list[str],
    max_pixels: int = MAX_PIXELS,
) -> Iterator[tuple[list[Path], np.ndarray]]:
    """Paths and images, uint8 (batch, side, side, channels), as the training of a model with this spec cached them.

    Threads decode the files, a batch ahead of the one in use. The message of each unreadable file is appended to
    `unreadable`.
    """
    side, channels, resize = _read_size(spec), spec["in_chans"], spec.get("resize", "crop")

    def read(path: Path) -> np.ndarray | None:
        try:
            return read_image(path, side, channels, max_pixels, resize)
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
            pairs = [(path, image) for path, image in read_here if image is not None]
            if pairs:
                yield [path for path, _ in pairs], np.stack([image for _, image in pairs])


def probabilities(model: "LightningModule", images: np.ndarray, flip_tta: bool) -> np.ndarray:
    """The probability of each class, (batch, classes), of uint8 (batch, height, width, channels) of any size."""
    import torch

    from src.datamodules.images.scaling import scale

    pixels = torch.from_numpy(images).to(model.device).permute(0, 3, 1, 2)
    pixels = scale(pixels, tuple(model.hparams["spec"]["image_size"]))
    with torch.inference_mode():
        views = [pixels, pixels.flip(3)] if flip_tta else [pixels]
        return torch.stack([model(view).float().softmax(1) for view in views]).mean(0).cpu().numpy()


def write_table(output: Path, names: list[str], rows: Iterable[list[Any]]) -> int:
    """Write path, label and a column for each class, whole or not at all; returns the number of rows.

    The column of a class named path or label is called `path (class)`, which is told.
    """
    count, cells = 0, TextCells()
    heads = ["path", "label", *(own_head(name, names) for name in names)]
    with staged(output) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(cells.row(heads))
        for path, label, *shares in rows:
            writer.writerow(cells.row([path, label, *(f"{share:.6f}" for share in shares)]))
            count += 1
    cells.tell(output)
    return count


def own_head(name: str, names: list[str]) -> str:
    """A class's name as the name of a column, which no other column has."""
    head = name
    while head in ("path", "label") or (head != name and head in names):
        head = f"{head} (class)"
    if head != name:
        note(f"the column of class {name} is called {head}, because {name} is another column")
    return head


def show_table(output: Path, count: int) -> None:
    """Show the first rows, with the probability of the chosen class, and how many rows there are."""
    table = Table("path", "label", "probability")
    with output.open(newline="", encoding="utf-8") as file:
        for path, label, *shares in islice(csv.reader(file), 1, NUM_SHOWN + 1):
            table.add_row(escape(path), escape(label), f"{max(map(float, shares)):.3f}")
    if count:
        show_rich(table)
    show(f"{count} predictions in {output}")
