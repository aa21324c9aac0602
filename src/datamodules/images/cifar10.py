"""CIFAR-10: its official files, or the same images in class folders."""

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from src.datamodules.download import fetch
from src.datamodules.images.base import ImageData
from src.datamodules.images.cifar_files import find_official, read_official
from src.datamodules.images.decoded_folder import DecodedFolder
from src.datamodules.images.label_sources import FolderNames
from src.datamodules.images.listing import list_folder
from src.datamodules.images.split import ImageSplit


class CIFAR10(ImageData):
    """60,000 small photographs, 32x32 colour, 10 classes, 10,000 of them for test (Krizhevsky 2009).

    Read from data_dir/cifar-10, from the first of these that exists: cifar-10-batches-bin/, cifar-10-binary.tar.gz,
    cifar-10-batches-py/, cifar-10-python.tar.gz, or image files train/CLASS/*.jpg and test/CLASS/*.jpg. If none does,
    cifar-10-binary.tar.gz is fetched: it needs no unpickling.

    Address and checksum are those of www.cs.toronto.edu/~kriz/cifar.html.

    Args:
        cache_dir: image files are decoded into it once.
        on_corrupt: fail if an image file cannot be read, or skip it with a warning that names it.
    """

    class_names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    archive = "cifar-10-binary.tar.gz"
    address = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
    checksum = "c32a1d4ab5d03f1284b67883e8d87530"

    def __init__(
        self, *, data_dir: str, cache_dir: str, on_corrupt: Literal["raise", "skip"], **image_data: Any
    ) -> None:
        super().__init__(**image_data)
        self.folder = Path(data_dir, "cifar-10")
        self.cache_dir = cache_dir
        self.on_corrupt: Literal["raise", "skip"] = on_corrupt

    def prepare_data(self) -> None:
        if find_official(self.folder) is not None:
            return
        if (self.folder / "train").is_dir():
            self.decoded.build()
        else:
            fetch(self.folder, {self.archive: (self.address, self.checksum)})

    def read(self) -> dict[str, ImageSplit]:
        official = find_official(self.folder)
        if official is not None:
            return read_official(official)
        self.row_names = self.decoded.files
        return self.decoded.read()

    @cached_property
    def decoded(self) -> DecodedFolder:
        """The image files, as they are listed at first use, once in each process."""
        if not (self.folder / "train").is_dir():
            raise FileNotFoundError(f"{self.folder} does not hold CIFAR-10: call prepare_data before setup")
        images, names = list_folder(self.folder, FolderNames()), type(self).class_names
        if images.class_names != names:
            raise ValueError(f"{self.folder}/train must hold {', '.join(names)}, got {', '.join(images.class_names)}")
        images.tell()
        return DecodedFolder(images, image_size=32, channels=3, cache_dir=self.cache_dir, on_corrupt=self.on_corrupt)
