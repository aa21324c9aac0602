"""What a net gets of an image set: a training batch as it sees it, and the same images without augmentation."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from src.report.images.captions import captions_of
from src.report.images.grid import as_pixels, draw_grid
from src.report.parts import Plot, Section
from src.report.rows import without_trainer

NUM_IMAGES = 12


def sections(datamodule: Any, batches: Sequence[tuple[Tensor, Tensor]]) -> list[Section]:
    """Show the first images of the first batch.

    Args:
        datamodule: an image set: it has a `spec`, and augments if its trainer trains.
        batches: of training: (images, labels), after augmentation.
    """
    with without_trainer(datamodule):
        plain = datamodule.on_after_batch_transfer(next(iter(datamodule.train_dataloader())), 0)
    size = " x ".join(map(str, batches[0][0].shape[2:]))
    texts = (
        ("As the net sees them in training", batches[0], "Are the labels correct? Can you still tell what it is?"),
        ("The same images as the net would see them in validation", plain, "Is what the label says within the image?"),
    )
    return [
        Section(title, [_grid(images, labels, datamodule.spec)], f"{question} The net gets {size} pixels.")
        for title, (images, labels), question in texts
    ]


def _grid(images: Tensor, labels: Tensor, spec: dict[str, Any]) -> Plot:
    captions = captions_of(labels[:NUM_IMAGES].cpu(), spec)
    return Plot("", draw_grid(as_pixels(images[:NUM_IMAGES]), None, captions), f"{len(captions)} images, with labels")
