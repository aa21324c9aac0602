"""Any set of images in folders that are named for their classes."""

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from src.datamodules.images.base import ImageData
from src.datamodules.images.decoded_folder import DecodedFolder
from src.datamodules.images.split import ImageSplit, class_numbers


class ImageFolder(ImageData):
    """data_dir/folder/train/CLASS/*.jpg, and the same below valid (or val, validation) and test if they exist.

    Files are jpg, jpeg, png, webp or bmp of any size. Without a valid split, one is taken from train. Without a test
    split, the validation images are scored as test too, and a line says so.

    Args:
        image_size: side in pixels of the square that every image becomes, see `read_image`.
        channels: 1 grey, 3 colour.
        on_corrupt: fail if a file cannot be read, or skip it with a warning that names it.
        max_pixels: a file that claims more cannot be read.
    """

    def __init__(
        self,
        *,
        data_dir: str,
        cache_dir: str,
        folder: str,
        image_size: int,
        channels: Literal[1, 3],
        on_corrupt: Literal["raise", "skip"],
        max_pixels: int,
        **image_data: Any,
    ) -> None:
        super().__init__(**image_data)
        if min(image_size, max_pixels) < 1 or channels not in (1, 3) or on_corrupt not in ("raise", "skip"):
            raise ValueError(
                "datamodule.image_size must be positive, max_pixels too, channels 1 or 3, on_corrupt raise or skip, "
                f"got {image_size=}, {max_pixels=}, {channels=}, {on_corrupt=}"
            )
        self.root = Path(data_dir, folder)
        self.choices: dict[str, Any] = {
            "image_size": image_size,
            "channels": channels,
            "on_corrupt": on_corrupt,
            "max_pixels": max_pixels,
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
