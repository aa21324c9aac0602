"""predict.py for images: reads them, and finds the class, the labels or the numbers of each."""

import glob
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.progress import track

from src.core.errors import ConfigError
from src.core.output import is_quiet, note
from src.datamodules.images.files import (
    MAX_PIXELS,
    SUFFIXES,
    as_text,
    counted,
    examples,
    is_hidden,
    list_images,
    read_image,
)
from src.predict.images.table import mean_thresholds, show_table, write_table
from src.predict.members import check_members

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule


def check(config: Mapping[str, Any]) -> None:
    """Raise ConfigError if there is no image to read, or batch_size or max_pixels is not positive."""
    find_images(config["input"])
    for key in ("batch_size", "max_pixels"):
        if config[key] < 1:
            raise ConfigError(f"{key} must be positive, got {config[key]}")


def predict(
    models: "Sequence[LightningModule]",
    *,
    input: str,
    output: str,
    batch_size: int,
    max_pixels: int,
    flip_tta: bool,
    crop_tta: int,
) -> int:
    """Write a row for each image of `input`; of several models, the mean of their answers, and their spread.

    Returns:
        The exit status: 1 if an image could not be read.

    Raises:
        ConfigError: if a model does not read square images, or models do not answer the same question.
    """
    specs = [dict(model.hparams["spec"]) for model in models]
    check_members(specs, ["task", "class_names", "image_size", "cache_size", "in_chans", "resize"])
    spec = specs[0] | mean_thresholds(specs)
    if len(set(spec["image_size"])) != 1:
        raise ConfigError(f"predict.py reads square images, the checkpoint needs image_size {spec['image_size']}")
    if not 0 <= crop_tta < min(spec["image_size"]):
        raise ConfigError(f"crop_tta must be from 0 to less than the {spec['image_size'][0]} pixels, got {crop_tta}")
    side = _read_size(spec)
    if batch_size * side**2 > max_pixels:
        raise ConfigError(
            f"{batch_size} images of {side} x {side} pixels at once are more than {max_pixels=}: "
            "give a smaller batch_size"
        )
    paths, unreadable = find_images(input), []
    read = read_batches(paths, batch_size, spec, unreadable, max_pixels)
    rows = _rows(
        read, -(-len(paths) // batch_size), partial(_all_answers, models, flip_tta=flip_tta, crop_tta=crop_tta)
    )
    show_table(Path(output), write_table(Path(output), spec, rows, len(models)), spec)
    if unreadable:
        sys.stderr.write("\n".join([f"error: {len(unreadable)} of {len(paths)} files left out:", *unreadable]) + "\n")
    return 1 if unreadable else 0


@cache
def find_images(path: str) -> list[Path]:
    """The file, the images in the folder and below it, or the files that match the pattern.

    What else is there is told, once.

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
        matches = [match for match in sorted(glob.glob(path, recursive=True)) if not is_hidden(Path(match).name)]
        found = [Path(match) for match in matches if not Path(match).is_dir()]
        lack = "is not a file or a folder, and as a pattern matches no file"
        folders = [match for match in matches if Path(match).is_dir()]
        if found and folders:
            note(f"{path}: left out: {len(folders)} folder{'s' if len(folders) > 1 else ''} ({examples(folders, 2)})")
    if not found:
        raise ConfigError(f"input={path} {lack}")
    return found


def _rows(
    batches: Iterator[tuple[list[Path], np.ndarray]], total: int, ask: Callable[[np.ndarray], np.ndarray]
) -> Iterator[tuple[str, np.ndarray]]:
    """Path of each image, and the answers of all models, (models, classes or targets)."""
    hidden = is_quiet() or not sys.stdout.isatty()
    for here, images in track(batches, "Predicting", total, disable=hidden, transient=True):
        for path, answer in zip(here, ask(images), strict=True):
            yield as_text(str(path)), answer


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


def _all_answers(models: "Sequence[LightningModule]", images: np.ndarray, **views: Any) -> np.ndarray:
    """(batch, models, classes or targets)"""
    return np.stack([answers(model, images, **views) for model in models], 1)


def answers(model: "LightningModule", images: np.ndarray, flip_tta: bool, crop_tta: int = 0) -> np.ndarray:
    """What ImageClassifier.predict returns, (batch, classes or targets), of uint8 (batch, height, width, channels)."""
    import torch

    from src.datamodules.images.scaling import scale

    net: Any = model
    pixels = torch.from_numpy(images).to(model.device).permute(0, 3, 1, 2)
    pixels = scale(pixels, tuple(model.hparams["spec"]["image_size"]))
    with torch.inference_mode():
        return net.predict(pixels, flip_tta, crop_tta).cpu().numpy()
