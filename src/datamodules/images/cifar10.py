"""CIFAR-10 in each of the forms in which people have it."""

import tarfile
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from src.core.files import make_whole
from src.datamodules.download import fetch
from src.datamodules.images.base import ImageData
from src.datamodules.images.cifar_files import find_official, read_official
from src.datamodules.images.decoded_folder import DecodedFolder
from src.datamodules.images.split import Images


class CIFAR10(ImageData):
    """60,000 small photographs, 32x32 colour, 10 classes, 10,000 of them for test (Krizhevsky 2009).

    Taken from data_dir/cifar-10, the first that is there: cifar-10-batches-bin/ or cifar-10-binary.tar.gz,
    cifar-10-batches-py/ or cifar-10-python.tar.gz, or picture files train/CLASS/*.jpg and test/CLASS/*.jpg; then from
    data_dir/cifar10-jpeg, such folders or cifar10-jpeg.tar.xz. If none is, cifar-10-binary.tar.gz is fetched: it needs
    no unpickling. Picture files are decoded once into cache_dir, on_corrupt as in `image_folder`.
    Address and checksum are those of www.cs.toronto.edu/~kriz/cifar.html.
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
        self.jpeg_folder = Path(data_dir, "cifar10-jpeg")
        self.cache_dir = cache_dir
        self.on_corrupt: Literal["raise", "skip"] = on_corrupt

    def prepare_data(self) -> None:
        if find_official(self.folder) is None and self._find_pictures() is None:
            fetch(self.folder, {self.archive: (self.address, self.checksum)})
        if find_official(self.folder) is None:
            self.decoded.build()

    def read(self) -> dict[str, Images]:
        official = find_official(self.folder)
        return self.decoded.read() if official is None else read_official(official)

    def _find_pictures(self) -> Path | None:
        """The folder or the archive of picture files."""
        found = [folder for folder in (self.folder, self.jpeg_folder) if (folder / "train").is_dir()]
        found += filter(Path.is_file, [self.jpeg_folder / "cifar10-jpeg.tar.xz"])
        return next(iter(found), None)

    @cached_property
    def decoded(self) -> DecodedFolder:
        """The picture files, as they are listed at first use, once in each process."""
        root = self._find_pictures()
        if root is None:
            raise FileNotFoundError(f"{self.folder} holds no CIFAR-10: call prepare_data before setup")
        if root.is_file():
            root = unpack(root, Path(self.cache_dir))
        decoded = DecodedFolder(root, image_size=32, channels=3, cache_dir=self.cache_dir, on_corrupt=self.on_corrupt)
        names = type(self).class_names
        if decoded.class_names != names:
            raise ValueError(f"{root}/train must hold {', '.join(names)}, got {', '.join(decoded.class_names)}")
        return decoded


def unpack(archive: Path, cache_dir: Path) -> Path:
    """The folder of the same name in the cache, made of an archive of picture files once."""
    folder = cache_dir / archive.name.split(".")[0]
    make_whole(folder, lambda part: _extract(archive, part))
    return folder


def _extract(archive: Path, folder: Path) -> None:
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")
