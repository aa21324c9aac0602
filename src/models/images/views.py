"""Several views of an image, whose mean answer is often better than the answer for the image alone."""

from collections.abc import Iterator

import torch
from torch import Tensor


def views(images: Tensor, flip: bool, crop: int) -> Iterator[tuple[float, Tensor]]:
    """Yield weights, whose sum is 1, and views: the images as they are come first.

    Source: Jordan 2024, arXiv:2404.00498, section 3.5 (multi-crop).

    Args:
        images: (batch, channels, height, width), of any type.
        flip: whether the mirror image of each view is one too.
        crop: pixels by which two more views are shifted, towards the upper left and the lower right, with the border
            reflected; the image itself weighs as much as both. 0: neither.

    Raises:
        ValueError: `crop` is not smaller than the side.
    """
    height, width = images.shape[2:]
    if crop >= min(height, width):
        raise ValueError(f"crop_tta must be smaller than the image, got {crop} for {height}x{width}")
    for weight, shift in [(0.5, 0), (0.25, crop), (0.25, -crop)] if crop else [(1.0, 0)]:
        view = _shifted(images, shift) if shift else images
        if not flip:
            yield weight, view
            continue
        yield weight / 2, view
        yield weight / 2, view.flip(3)


def _shifted(images: Tensor, shift: int) -> Tensor:
    rows, columns = (_reflected(size, shift).to(images.device) for size in images.shape[2:])
    return images.index_select(2, rows).index_select(3, columns)


def _reflected(size: int, shift: int) -> Tensor:
    positions = torch.arange(size) + shift
    return (size - 1) - (positions.abs() - (size - 1)).abs()
