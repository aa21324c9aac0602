"""Random changes to a batch of pictures, as tensor work on the device that holds the batch."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Augmentation:
    """Flip, crop, rotate, recolour, erase and mix a training batch; the amounts are described in conf.

    Flip and crop, which nearly every recipe uses, are one gather of bytes; the rest is kornia's, on floats.
    """

    def __init__(
        self,
        *,
        flip: bool,
        crop_padding: int,
        rotation: float,
        translation: float,
        scale: float,
        color: float,
        erasing: float,
        mixup: float,
        cutmix: float,
    ) -> None:
        shares = {"translation": translation, "scale": scale, "color": color, "erasing": erasing}
        shares |= {"mixup": mixup, "cutmix": cutmix, "mixup + cutmix": mixup + cutmix}
        for name, value in shares.items():
            if not 0 <= value <= 1:
                raise ValueError(f"augmentation.{name} must be within 0 and 1, got {value}")
        if crop_padding < 0:
            raise ValueError(f"augmentation.crop_padding must not be negative, got {crop_padding}")
        self.flip = flip
        self.crop_padding = crop_padding
        self.mixup = mixup
        self.cutmix = cutmix
        self.transform = _kornia_transform(rotation, translation, scale, color, erasing)

    def __call__(self, images: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
        """Augment one batch.

        images: uint8 (batch, height, width, channels).  labels: (batch,).
        Returns images as (batch, channels, height, width), uint8 or float within [0, 1], and labels as they came or,
        if mixed, as probabilities (batch, num_classes).
        """
        if self.flip or self.crop_padding:
            images = flip_and_crop(images, self.flip, self.crop_padding)
        images = images.permute(0, 3, 1, 2)
        if self.transform is not None:
            images = self.transform(_as_float(images)).clamp(0, 1)
        if self.mixup + self.cutmix > 0:
            chance = float(torch.rand(()))
            if chance < self.mixup:
                return mixup(images, labels, num_classes)
            if chance < self.mixup + self.cutmix:
                return cutmix(images, labels, num_classes)
        return images, labels


def flip_and_crop(images: Tensor, flip: bool, padding: int) -> Tensor:
    """Mirror every second picture or so, and shift each by up to `padding` pixels with its border reflected.

    images: (batch, height, width, channels), any type. Returns the same shape. One gather does all three.
    Raises ValueError if the padding is not smaller than the side.
    """
    batch, height, width, _ = images.shape
    if padding >= min(height, width):
        raise ValueError(f"crop_padding must be smaller than the picture, got {padding} for {height}x{width}")
    device = images.device
    shift = torch.randint(-padding, padding + 1, (2, batch, 1), device=device)
    rows = _reflect(torch.arange(height, device=device) + shift[0], height)
    columns = _reflect(torch.arange(width, device=device) + shift[1], width)
    if flip:
        mirrored = torch.rand(batch, 1, device=device) < 0.5
        columns = torch.where(mirrored, width - 1 - columns, columns)
    # Flat rows of pixels: one index for each costs a quarter of three.
    first = torch.arange(batch, device=device).view(-1, 1, 1) * height
    index = (first + rows[:, :, None]) * width + columns[:, None, :]
    return images.flatten(0, 2).index_select(0, index.flatten()).view(images.shape)


def _reflect(positions: Tensor, size: int) -> Tensor:
    """Fold positions beyond either border back inside; the border itself is not repeated."""
    return (size - 1) - (positions.abs() - (size - 1)).abs()


def _kornia_transform(
    rotation: float, translation: float, scale: float, color: float, erasing: float
) -> nn.Module | None:
    # Imported when needed: kornia takes a second.
    steps: list[nn.Module] = []
    if rotation or translation or scale:
        from kornia.augmentation import RandomAffine

        shift = (translation, translation) if translation else None
        sizes = (1 - scale, 1 + scale) if scale else None
        steps.append(RandomAffine(rotation, translate=shift, scale=sizes, padding_mode="reflection", p=1.0))
    if color:
        from kornia.augmentation import ColorJitter

        steps.append(ColorJitter(brightness=color, contrast=color, saturation=color, p=1.0))
    if erasing:
        from kornia.augmentation import RandomErasing

        steps.append(RandomErasing(p=erasing))
    return nn.Sequential(*steps) if steps else None


def mixup(images: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Blend each picture and its label with another's; the weight is uniform within [0, 1] and each row's own.

    images: (batch, channels, height, width), uint8 or float.  labels: (batch,).
    Returns float images within [0, 1] and probabilities (batch, num_classes).
    Source: Zhang et al. 2018, arXiv:1710.09412, section 2 (alpha 1).
    """
    from kornia.augmentation import RandomMixUpV2

    mixed, pairs = RandomMixUpV2(data_keys=["input", "class"])(_as_float(images), labels)
    return mixed, _blend(pairs[:, 0], pairs[:, 1], pairs[:, 2], num_classes)


def cutmix(images: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Paste a rectangle of another picture into each; labels in proportion to the area. Shapes as in `mixup`.

    Source: Yun et al. 2019, arXiv:1905.04899, section 3 (alpha 1).
    """
    from kornia.augmentation import RandomCutMixV2

    mixed, pairs = RandomCutMixV2(data_keys=["input", "class"], use_correct_lambda=True)(_as_float(images), labels)
    own, other, own_share = pairs[0].unbind(1)
    return mixed, _blend(own, other, 1 - own_share, num_classes)


def _as_float(images: Tensor) -> Tensor:
    return images if images.is_floating_point() else images.float() / 255


def _blend(own: Tensor, other: Tensor, other_share: Tensor, num_classes: int) -> Tensor:
    share = other_share[:, None]
    return (1 - share) * F.one_hot(own.long(), num_classes) + share * F.one_hot(other.long(), num_classes)
