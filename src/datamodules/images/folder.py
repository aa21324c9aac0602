"""Any set of image files, however they lie."""

from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from src.datamodules.images.base import ImageData
from src.datamodules.images.decoded_folder import DecodedFolder
from src.datamodules.images.files import RESIZES, Resize
from src.datamodules.images.label_sources import FileNames, FolderNames, LabelTable
from src.datamodules.images.listing import list_folder
from src.datamodules.images.split import ImageSplit, Task, chosen_classes


class ImageFolder(ImageData):
    """The images below data_dir/folder, with the labels of their folders, of a CSV or of their names.

    data_dir/folder/train/CLASS/*.jpg, and the same below valid (or val, validation, dev) and test if they exist, in any
    case; or data_dir/folder/CLASS/*.jpg. With a CSV or a regular expression files may lie in any folders; those below
    train, valid and test are these splits, unless a column of the CSV says otherwise. What was found and what is left
    out is told in a line each. All suffixes of SUFFIXES are read.

    Without a valid split, one is taken from train. Without a test split, the validation images are scored as test too,
    and a line says so.

    Args:
        task: what the labels are for, see ImageSplit. For regression they must be numbers.
        labels: a CSV below the folder; None means the names of the folders.
        label_regex: in place of both, a regular expression that finds the label in a file's name, see FileNames.
        path_column: of the CSV, see LabelTable.
        label_column: of the CSV, one or several. For multilabel, several columns hold 0 or 1 each.
        split_column: of the CSV; None means `split`, if it has one.
        label_separator: between several labels in one cell or name, for multilabel.
        y_range: for regression, between what values the answers lie; None for no bounds.
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
        task: Task,
        labels: str | None,
        label_regex: str | None,
        path_column: str,
        label_column: str | list[str],
        split_column: str | None,
        label_separator: str,
        y_range: list[float] | None,
        image_size: int,
        cache_size: int | None,
        resize: Resize,
        channels: Literal[1, 3],
        on_corrupt: Literal["raise", "skip"],
        max_pixels: int,
        max_cache_mb: int | None,
        **image_data: Any,
    ) -> None:
        if task not in get_args(Task):
            raise ValueError(f"datamodule.task must be one of {', '.join(get_args(Task))}, got {task}")
        if labels is not None and label_regex is not None:
            raise ValueError(f"give one of datamodule.labels and label_regex, got {labels=}, {label_regex=}")
        if not label_separator:
            raise ValueError("datamodule.label_separator must not be empty")
        self.task, self.y_range = task, y_range
        super().__init__(**image_data)
        _check_pixels(image_size, cache_size, resize, channels, on_corrupt, max_pixels, max_cache_mb)
        self.image_size = image_size
        self.resize = resize
        self.root = Path(data_dir, folder)
        self.label_separator = label_separator
        self.names = FolderNames() if label_regex is None else FileNames(label_regex)
        self.table = labels
        columns = [label_column] if isinstance(label_column, str) else list(label_column)
        self.columns: dict[str, Any] = {
            "path_column": path_column,
            "columns": columns,
            "split_column": split_column,
            "several": task == "multilabel" and len(columns) == 1,
        }
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
        source = self.names if self.table is None else LabelTable(self.root, self.table, **self.columns)
        images = list_folder(self.root, source, self.task, self.label_separator)
        images.tell()
        return DecodedFolder(images, cache_dir=self.cache_dir, **self.choices)

    def prepare_data(self) -> None:
        if self.classes is not None:
            chosen_classes(self.classes, self.decoded.images.class_names)
        self.decoded.build()

    def read(self) -> dict[str, ImageSplit]:
        self.class_names, self.row_names = self.decoded.images.class_names, self.decoded.files
        return self.decoded.read()

    def pixel_contents(self, splits: dict[str, ImageSplit]) -> dict[str, str]:
        return self.decoded.cache.contents()  # not read once more: they may be larger than memory


def _check_pixels(
    image_size: int,
    cache_size: int | None,
    resize: str,
    channels: int,
    on_corrupt: str,
    max_pixels: int,
    max_cache_mb: int | None,
) -> None:
    """Raise ValueError unless files can be read and cached in this way, see ImageFolder."""
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
