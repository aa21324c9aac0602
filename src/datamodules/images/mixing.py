"""Blends images of a batch with one another, and their labels with them."""

import torch
import torch.nn.functional as F
from torch import Tensor


def mixup(images: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Blend each image and its label with another; each row has its own weight, uniform within [0, 1].

    Source: Zhang et al. 2018, arXiv:1710.09412, section 2 (alpha 1).

    Args:
        images: (batch, channels, height, width), uint8 or float.
        labels: classes (batch,), or a float for each class, (batch, num_classes).
        num_classes: width of the probabilities.

    Returns:
        Float images within [0, 1] and blended labels (batch, num_classes).
    """
    from kornia.augmentation import RandomMixUpV2

    mixed, pairs = RandomMixUpV2(data_keys=["input", "class"])(as_float(images), _numbered(labels))
    return mixed, _blend(labels, pairs[:, 1], pairs[:, 2], num_classes)


def cutmix(images: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Paste a rectangle of another image into each; labels are mixed by area. Shapes are those of `mixup`.

    Source: Yun et al. 2019, arXiv:1905.04899, section 3 (alpha 1).
    """
    from kornia.augmentation import RandomCutMixV2

    mix = RandomCutMixV2(data_keys=["input", "class"], use_correct_lambda=True)
    mixed, pairs = mix(as_float(images), _numbered(labels))
    _, other, own_share = pairs[0].unbind(1)
    return mixed, _blend(labels, other, 1 - own_share, num_classes)


def _numbered(labels: Tensor) -> Tensor:
    """The rows' numbers, which kornia gets in place of labels: it tells from them which row each is mixed with."""
    return torch.arange(len(labels), device=labels.device)


def _blend(labels: Tensor, other_row: Tensor, other_share: Tensor, num_classes: int) -> Tensor:
    shares = labels if labels.ndim == 2 else F.one_hot(labels, num_classes)
    share = other_share[:, None]
    return (1 - share) * shares + share * shares[other_row.long()]


def as_float(images: Tensor) -> Tensor:
    """Return images as floats within [0, 1]."""
    return images if images.is_floating_point() else images.float() / 255
