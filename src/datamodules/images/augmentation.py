"""Random changes to a batch of images, as tensor work on the device that holds the batch."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Augmentation:
    """Flips, crops, rotates, recolours, erases and mixes a training batch.

    Flip and crop, which nearly every recipe uses, are one gather of bytes. The rest is kornia's, on floats.

    Args:
        flip: mirror each image with a chance of one half.
        crop_padding: pixels by which an image is shifted at most, with its border reflected.
        rotation: largest angle in degrees, either way.
        translation: largest shift as a share of the side, either way.
        scale: largest change of size; 0.1 means between 0.9 and 1.1.
        color: largest change of brightness, contrast and saturation; 0.2 means between 0.8 and 1.2.
        erasing: chance of erasing a rectangle of an image.
        mixup: share of the batches that `mixup` blends.
        cutmix: share of the batches that `cutmix` mixes.
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

    @property
    def mixes(self) -> bool:
        """Whether some batches get blended labels."""
        return self.mixup + self.cutmix > 0

    def __call__(self, images: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
        """Augment one batch.

        Args:
            images: uint8 (batch, height, width, channels).
            labels: classes (batch,), or a float for each class, (batch, num_classes).
            num_classes: width of the probabilities.

        Returns:
            Images (batch, channels, height, width), uint8 or float within [0, 1], and the labels: unchanged or, if the
            batch was mixed, as floats (batch, num_classes).
        """
        if self.flip or self.crop_padding:
            images = flip_and_crop(images, self.flip, self.crop_padding)
        images = images.permute(0, 3, 1, 2)
        if self.transform is not None:
            images = self.transform(_as_float(images)).clamp(0, 1)
        if self.mixes:
            chance = float(torch.rand(()))
            if chance < self.mixup:
                return mixup(images, labels, num_classes)
            if chance < self.mixup + self.cutmix:
                return cutmix(images, labels, num_classes)
        return images, labels


def flip_and_crop(images: Tensor, flip: bool, padding: int) -> Tensor:
    """Mirror about half of the images, and shift each by up to `padding` pixels with its border reflected.

    One gather does all of it. Images are (batch, height, width, channels), of any type, before and after. Raises
    ValueError if the padding is not smaller than the side.
    """
    batch, height, width, _ = images.shape
    if padding >= min(height, width):
        raise ValueError(f"crop_padding must be smaller than the image, got {padding} for {height}x{width}")
    device = images.device
    shift = torch.randint(-padding, padding + 1, (2, batch, 1), device=device)
    rows = _reflect(torch.arange(height, device=device) + shift[0], height)
    columns = _reflect(torch.arange(width, device=device) + shift[1], width)
    if flip:
        mirrored = torch.rand(batch, 1, device=device) < 0.5
        columns = torch.where(mirrored, width - 1 - columns, columns)
    # Over flat rows of pixels: one index for each pixel costs a quarter of three.
    first = torch.arange(batch, device=device).view(-1, 1, 1) * height
    index = (first + rows[:, :, None]) * width + columns[:, None, :]
    return images.flatten(0, 2).index_select(0, index.flatten()).view(images.shape)


def _reflect(positions: Tensor, size: int) -> Tensor:
    """Fold positions beyond either border back inside; the border itself is not repeated."""
    return (size - 1) - (positions.abs() - (size - 1)).abs()


def _kornia_transform(
    rotation: float, translation: float, scale: float, color: float, erasing: float
) -> nn.Module | None:
    # kornia takes a second to import.
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

    mixed, pairs = RandomMixUpV2(data_keys=["input", "class"])(_as_float(images), _numbered(labels))
    return mixed, _blend(labels, pairs[:, 1], pairs[:, 2], num_classes)


def cutmix(images: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Paste a rectangle of another image into each; labels are mixed by area. Shapes are those of `mixup`.

    Source: Yun et al. 2019, arXiv:1905.04899, section 3 (alpha 1).
    """
    from kornia.augmentation import RandomCutMixV2

    mix = RandomCutMixV2(data_keys=["input", "class"], use_correct_lambda=True)
    mixed, pairs = mix(_as_float(images), _numbered(labels))
    _, other, own_share = pairs[0].unbind(1)
    return mixed, _blend(labels, other, 1 - own_share, num_classes)


def _as_float(images: Tensor) -> Tensor:
    return images if images.is_floating_point() else images.float() / 255


def _numbered(labels: Tensor) -> Tensor:
    """The rows' numbers, which kornia gets in place of labels: it tells from them which row each is mixed with."""
    return torch.arange(len(labels), device=labels.device)


def _blend(labels: Tensor, other_row: Tensor, other_share: Tensor, num_classes: int) -> Tensor:
    shares = labels if labels.ndim == 2 else F.one_hot(labels, num_classes)
    share = other_share[:, None]
    return (1 - share) * shares + share * shares[other_row.long()]
