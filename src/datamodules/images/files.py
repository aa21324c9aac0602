"""Finds image files, and reads those of any kind and size as arrays of one kind and size."""

import errno
import os
import re
import warnings
from collections import defaultdict
from collections.abc import Iterable
from contextlib import nullcontext
from io import BytesIO
from pathlib import Path
from threading import Lock
from typing import Literal

import numpy as np
from PIL import ExifTags, Image, ImageOps, PngImagePlugin, UnidentifiedImageError

from src.core.errors import first_line

# The usual suffixes of FORMATS.
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".jfif", ".jpe", ".mpo")
SUFFIXES += (".apng", ".avifs", ".pbm", ".pfm", ".pgm", ".pnm", ".ppm")
SUFFIXES += (".j2c", ".j2k", ".jp2", ".jpc", ".jpf", ".jpx")
# What a file may be, whatever its name says. Pillow knows more: for one of them, EPS, it starts Ghostscript.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "PPM", "JPEG2000")
# What systems put beside images; all that is hidden, too.
SYSTEM = ("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "__macosx", "@eadir", "$recycle.bin")
HIDDEN_IMAGE = rf"\.[^_].*({'|'.join(map(re.escape, SUFFIXES))})(\.|$)"
MAX_PIXELS = 100_000_000  # where no key says otherwise
LARGE = 25_000_000  # pixels; of such images one at a time is decoded, as each takes 100 MB or more
Resize = Literal["crop", "squash", "pad"]
RESIZES = ("crop", "squash", "pad")
TURNS = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}  # EXIF's orientation: Pillow's Transpose
_one_at_a_time = Lock()
warnings.filterwarnings("ignore", module=r"PIL\.")  # of metadata, for which an image is not refused
Image.MAX_IMAGE_PIXELS = None  # `read_image` counts them itself
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY  # a long comment is no reason to refuse an image


def list_images(folder: str | Path) -> tuple[list[str], list[str]]:
    """Return all image files in a folder and the folders below it, and all other files, both sorted.

    Links to folders are followed. Hidden folders and SYSTEM are in neither list, nor are hidden files, unless they seem
    to be images: clouds leave such names in place of files that are not here.

    Raises:
        OSError: a folder cannot be read.
    """
    found: tuple[list[str], list[str]] = [], []  # text and not Path, because there may be a million
    _list_into(*found, str(folder), (os.path.realpath(folder),))
    return sorted(found[0]), sorted(found[1])


def _list_into(images: list[str], others: list[str], folder: str, above: tuple[str, ...]) -> None:
    """Add what is in a folder; `above` has the true paths of it and the folders that led to it."""
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise OSError(f"cannot read the folder {printable(folder)}: {error.strerror}") from error
    for entry in entries:
        if entry.is_dir() and not is_hidden(entry.name):
            target = os.path.realpath(entry.path) if entry.is_symlink() else f"{above[-1]}{os.sep}{entry.name}"
            if target not in above:  # else a link leads round in a circle
                _list_into(images, others, entry.path, (*above, target))
        elif not entry.is_dir() and not is_hidden(entry.name):
            (images if entry.name.lower().endswith(SUFFIXES) else others).append(entry.path)
        elif not entry.is_dir() and re.match(HIDDEN_IMAGE, entry.name.lower()):
            others.append(entry.path)


def is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden or belongs to the system."""
    return name.startswith(".") or name.lower() in SYSTEM


def counted(files: Iterable[str], root: str | Path) -> str:
    """How many files there are of each kind, with examples: `40 .heic (a/1.heic, a/2.heic, ...), 1 .txt (b.txt)`."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for file in files:
        kinds[os.path.splitext(file)[1].lower() or "without suffix"].append(os.path.relpath(file, root))
    kinds = dict(sorted(kinds.items(), key=lambda kind: -len(kind[1])))
    texts = [f"{len(names)} {kind} ({examples(names, 2)})" for kind, names in kinds.items()]
    return ", ".join(texts[:6]) + (f" and {len(texts) - 6} more kinds" if len(texts) > 6 else "")


def examples(names: list[str], count: int) -> str:
    """The first names, and dots if there are more."""
    return ", ".join([*map(printable, names[:count]), *(["..."] if len(names) > count else [])])


def as_text(name: str) -> str:
    """A file's name as text that can be written: bytes that are not UTF-8 become \\xe9."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def printable(name: str) -> str:
    """A name as text for one line of a message."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda sign: ascii(sign[0])[1:-1], as_text(name))


def read_image(
    path: str | Path, image_size: int, channels: int, max_pixels: int = MAX_PIXELS, resize: Resize = "crop"
) -> np.ndarray:
    """Read an image file as a square.

    The image is turned upright as its EXIF data say; if these are broken, it stays as it is. Transparent parts become
    white. Of 16 bits the upper 8 are kept, of an animation the first frame. Fractions within [0, 1] go from black to
    white.

    Args:
        path: the file.
        image_size: side of the square in pixels.
        channels: 1 for grey, 3 for red, green and blue.
        max_pixels: a file that claims more is not read: a few bytes of it could fill the memory.
        resize: how it becomes a square. "crop" scales the shorter side to `image_size` and cuts out the middle,
            "squash" scales both sides to it, "pad" scales the longer side and adds black borders.

    Returns:
        uint8 (image_size, image_size, channels).

    Raises:
        ValueError: if the content is not a readable image.
        OSError: if the file cannot be opened.
    """
    name = printable(str(path))
    try:
        if not Path(path).is_file() and Path(path).exists():
            raise OSError(errno.EINVAL, "it is not a file")
        content = Path(path).read_bytes()
    except OSError as error:
        raise OSError(f"cannot open {name}: {error.strerror}") from error
    try:
        if not content:
            raise ValueError("it is empty")
        image = Image.open(BytesIO(content), formats=FORMATS)
        # The decoder of WEBP keeps the image twice: 100 million pixels took 1.5 GB, in other formats up to 0.8 GB.
        num_pixels = image.width * image.height * (2 if image.format == "WEBP" else 1)
        if num_pixels > max_pixels:
            raise ValueError(f"{num_pixels:,} pixels, more than max_pixels={max_pixels:,}")
        with _one_at_a_time if num_pixels > LARGE else nullcontext():
            image = _decoded(image, image_size, resize)
            image = _convert(image, "L" if channels == 1 else "RGB")
            image = _padded(_scaled(image, image_size, resize), image_size)
    except Exception as error:  # Pillow raises errors of many types for a broken file
        reason = "unknown format" if isinstance(error, UnidentifiedImageError) else first_line(error)
        raise ValueError(f"{name} is not a readable image: {reason}") from error
    return np.asarray(image).reshape(image_size, image_size, channels)


def _decoded(image: Image.Image, image_size: int, resize: Resize) -> Image.Image:
    # JPEG can be decoded to a half, a quarter or an eighth; twice the size is enough for a good resize.
    image.draft(None, (2 * image_size, 2 * image_size))
    image.load()
    turn = _turn(image)
    if image.width * image.height > LARGE and image.mode in ("L", "RGB", "RGBA", "LA", "CMYK"):
        image = _scaled(image, image_size, resize)  # later steps would each copy the whole image
    return image if turn is None else image.transpose(turn)


def _turn(image: Image.Image) -> Image.Transpose | None:
    """How to turn an image upright."""
    try:
        return Image.Transpose(TURNS[image.getexif()[ExifTags.Base.Orientation]])
    except Exception:  # there is none, or the EXIF data are broken, for which Pillow raises errors of many types
        return None


def _scaled(image: Image.Image, image_size: int, resize: Resize) -> Image.Image:
    """The image as a square; of "pad" what lies between its borders."""
    square = (image_size, image_size)
    if image.size == square:
        return image
    if resize == "pad":
        width, height = (max(1, round(side * image_size / max(image.size))) for side in image.size)
        return image.resize((width, height))
    return image.resize(square) if resize == "squash" else ImageOps.fit(image, square)


def _padded(image: Image.Image, image_size: int) -> Image.Image:
    if image.size == (image_size, image_size):
        return image
    square = Image.new(image.mode, (image_size, image_size))  # black
    square.paste(image, ((image_size - image.width) // 2, (image_size - image.height) // 2))
    return square


def _convert(image: Image.Image, mode: str) -> Image.Image:
    # Pillow would clip values of more than 8 bits at 255.
    if image.mode == "F":
        pixels = np.nan_to_num(np.asarray(image))
        pixels = pixels * 255 if pixels.min() >= 0 and pixels.max() <= 1 else pixels
        image = Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8))
    elif image.mode == "I":  # 32 bits: as many as are used, 8 or 16
        pixels = np.asarray(image).clip(0, 65535)
        image = Image.fromarray((pixels if pixels.max() <= 255 else pixels >> 8).astype(np.uint8))
    elif image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert(mode)
