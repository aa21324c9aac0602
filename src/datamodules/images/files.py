"""Reads image files of any kind and size as arrays of one kind and size."""

import os
from contextlib import nullcontext
from io import BytesIO
from pathlib import Path
from threading import Lock

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from src.core.errors import first_line

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
# What a file may be, whatever its name says. Pillow knows more: for one of them, EPS, it starts Ghostscript.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "PPM", "JPEG2000")
MAX_PIXELS = 100_000_000  # where no key says otherwise
LARGE = 25_000_000  # pixels; of such images one at a time is decoded, as each takes 100 MB or more
_one_at_a_time = Lock()
Image.MAX_IMAGE_PIXELS = None  # `read_image` counts them itself


def list_images(folder: str | Path) -> list[str]:
    """Return all image files in a folder and the folders below it, sorted, without hidden ones."""
    found = []  # text and not Path, because there may be a million
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [os.path.join(parent, n) for n in names if n.lower().endswith(SUFFIXES) and not n.startswith(".")]
    return sorted(found)


def read_image(path: str | Path, image_size: int, channels: int, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read an image file as a square: scale the shorter side to `image_size` pixels, cut out the middle.

    The image is turned upright as its EXIF data say. Transparent parts become white. Of 16 bits the upper 8 are kept,
    of an animation the first frame.

    Args:
        path: the file.
        image_size: side of the square in pixels.
        channels: 1 for grey, 3 for red, green and blue.
        max_pixels: a file that claims more is not read: a few bytes of it could fill the memory.

    Returns:
        uint8 (image_size, image_size, channels).

    Raises:
        ValueError: if the content is not a readable image.
        OSError: if the file cannot be opened.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise OSError(f"cannot open {path}: {error.strerror}") from error
    try:
        image = Image.open(BytesIO(content), formats=FORMATS)
        # The decoder of WEBP keeps the image twice: 100 million pixels took 1.5 GB, in other formats up to 0.8 GB.
        num_pixels = image.width * image.height * (2 if image.format == "WEBP" else 1)
        if num_pixels > max_pixels:
            raise ValueError(f"{num_pixels:,} pixels, more than max_pixels={max_pixels:,}")
        with _one_at_a_time if num_pixels > LARGE else nullcontext():
            image = _decoded(image, image_size)
            image = _convert(image, "L" if channels == 1 else "RGB")
            if image.size != (image_size, image_size):
                image = ImageOps.fit(image, (image_size, image_size))
    except Exception as error:  # Pillow raises errors of many types for a broken file
        reason = "unknown format" if isinstance(error, UnidentifiedImageError) else first_line(error)
        raise ValueError(f"{path} is not a readable image: {reason}") from error
    return np.asarray(image).reshape(image_size, image_size, channels)


def _decoded(image: Image.Image, image_size: int) -> Image.Image:
    # JPEG can be decoded to a half, a quarter or an eighth; twice the size is enough for a good resize.
    image.draft(None, (2 * image_size, 2 * image_size))
    image.load()
    if image.width * image.height > LARGE and image.mode in ("L", "RGB", "RGBA", "LA", "CMYK"):
        exif = image.getexif()
        image = ImageOps.fit(image, (image_size, image_size))  # later steps would each copy the whole image
        image.getexif().update(exif)
    ImageOps.exif_transpose(image, in_place=True)
    return image


def _convert(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow would clip 16-bit values at 255.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    return image.convert(mode)
