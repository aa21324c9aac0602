"""Any set of images in folders that are named for their classes."""

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from src.datamodules.images.base import ImageData
from src.datamodules.images.decoded_folder import DecodedFolder
from src.datamodules.images.files import RESIZES, Resize
from src.datamodules.images.split import ImageSplit, class_numbers


class ImageFolder(ImageData):
    """data_dir/folder/train/CLASS/*.jpg, and the same below valid (or val, validation) and test if they exist.

    Files are jpg, jpeg, png, webp or bmp of any size. Without a valid split, one is taken from train. Without a test
    split, the validation images are scored as test too, and a line says so.

    Args:
        image_size: side in pixels of the squares that the net sees.
        cache_size: side of the squares that are cached, from which crops are taken; None means image_size.
        resize: how an image becomes a square, see `read_image`.
        channels: 1 grey, 3 colour.
        on_corrupt: fail if a file cannot be read, or skip it with a warning that names it.
        max_pixels: a file that claims more cannot be read.
        max_cache_mb: the largest cache that is made, in megabytes; None: any.
    """

    def __init__(
        self,
        *,
        data_dir: str,
        cache_dir: str,
        folder: str,
        image_size: int,
        cache_size: int | None,
        resize: Resize,
        channels: Literal[1, 3],
        on_corrupt: Literal["raise", "skip"],
        max_pixels: int,
        max_cache_mb: int | None,
        **image_data: Any,
    ) -> None:
        super().__init__(**image_data)
        if min(image_size, max_pixels) < 1 or channels not in (1, 3) or on_corrupt not in ("raise", "skip"):
            raise ValueError(
                "datamodule.image_size must be positive, max_pixels too, channels 1 or 3, on_corrupt raise or skip, "
                f"got {image_size=}, {max_pixels=}, {channels=}, {on_corrupt=}"
            )
        if resize not in RESIZES:
            raise ValueError(f"datamodule.resize must be one of {', '.join(RESIZES)}, got {resize}")
        if cache_size is not None and cache_size < image_size:
            raise ValueError(
                f"datamodule.cache_size must be null or at least image_size, got {cache_size=}, {image_size=}: the "
                "images would be scaled down and up again"
            )
        if max_cache_mb is not None and max_cache_mb < 1:
            raise ValueError(f"datamodule.max_cache_mb must be null or positive, got {max_cache_mb}")
        self.image_size = image_size
        self.resize = resize
        self.root = Path(data_dir, folder)
        self.choices: dict[str, Any] = {
            "image_size": cache_size or image_size,
            "resize": resize,
            "channels": channels,
            "on_corrupt": on_corrupt,
            "max_pixels": max_pixels,
            "max_cache_mb": max_cache_mb,
        }
        self.cache_dir = cache_dir

    @cached_property
    def decoded(self) -> DecodedFolder:
        """The folder as it is listed at first use, once in each process."""
        return DecodedFolder(self.root, cache_dir=self.cache_dir, **self.choices)

    def prepare_data(self) -> None:
        if self.classes is not None:
            class_numbers(self.classes, self.decoded.class_names)
        self.decoded.build()

    def read(self) -> dict[str, ImageSplit]:
        self.class_names, self.row_names = self.decoded.class_names, self.decoded.files
        return self.decoded.read()

    def pixel_contents(self, splits: dict[str, ImageSplit]) -> dict[str, str]:
        return self.decoded.cache.contents()  # not read once more: they may be larger than memory
