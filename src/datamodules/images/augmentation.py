"""Random changes to a batch of images, as tensor work on the device that holds the batch."""

from typing import Literal

import torch
from torch import Tensor, nn

from src.datamodules.images.mixing import as_float, cutmix, mixup
from src.datamodules.images.scaling import random_boxes, scaled_crop

Flip = bool | Literal["alternate"]

LUMA = [0.299, 0.587, 0.114]  # of red, green and blue, ITU-R BT.601


class Augmentation:
    """Flips, crops, rotates, recolours, erases and mixes a training batch.

    Flip and crops, which nearly every recipe uses, work on bytes. The rest is kornia's, on floats.

    Args:
        flip: mirror each image with a chance of one half; "alternate": mirror it in every other epoch, one half of the
            images in the even ones, so that two epochs always show both sides (Jordan 2024, arXiv:2404.00498, section
            3.6).
        crop_scale: bounds of the share of an image's area that is cut out and scaled to the size that the net sees;
            None: the whole image.
        crop_ratio: bounds of the width of such a piece divided by its height.
        crop_padding: pixels by which an image is shifted at most, with its border reflected.
        rotation: largest angle in degrees, either way.
        translation: largest shift as a share of the side, either way.
        scale: largest change of size; 0.1 means between 0.9 and 1.1.
        lighting: largest change of brightness and contrast; 0.2 means between 0.8 and 1.2.
        color: largest change of brightness, contrast and saturation; with `lighting` too, the larger one counts.
        erasing: chance of erasing a rectangle of an image.
        mixup: share of the batches that `mixup` blends.
        cutmix: share of the batches that `cutmix` mixes.
    """

    def __init__(
        self,
        *,
        flip: Flip,
        crop_scale: tuple[float, float] | None,
        crop_ratio: tuple[float, float],
        crop_padding: int,
        rotation: float,
        translation: float,
        scale: float,
        lighting: float,
        color: float,
        erasing: float,
        mixup: float,
        cutmix: float,
    ) -> None:
        shares = {"translation": translation, "scale": scale, "lighting": lighting, "color": color}
        shares |= {"erasing": erasing, "mixup": mixup, "cutmix": cutmix, "mixup + cutmix": mixup + cutmix}
        for name, value in shares.items():
            if not 0 <= value <= 1:
                raise ValueError(f"augmentation.{name} must be within 0 and 1, got {value}")
        if flip not in (True, False, "alternate"):
            raise ValueError(f"augmentation.flip must be true, false or alternate, got {flip}")
        if crop_padding < 0:
            raise ValueError(f"augmentation.crop_padding must not be negative, got {crop_padding}")
        if crop_scale is not None and not 0 < crop_scale[0] <= crop_scale[1] <= 1:
            raise ValueError(f"augmentation.crop_scale must be two shares from above 0 to 1, got {crop_scale}")
        if not 0 < crop_ratio[0] <= crop_ratio[1]:
            raise ValueError(
                f"augmentation.crop_ratio must be two positive numbers, the smaller first, got {crop_ratio}"
            )
        self.flip: Flip = flip
        self.crop_scale = crop_scale
        self.crop_ratio = crop_ratio
        self.crop_padding = crop_padding
        self.mixup = mixup
        self.cutmix = cutmix
        self.lighting = max(lighting, color)
        self.color = color
        self.affine = _affine(rotation, translation, scale)
        self.erase = _erasing(erasing)

    @property
    def mixes(self) -> bool:
        """Whether some batches get blended labels."""
        return self.mixup + self.cutmix > 0

    def __call__(
        self, images: Tensor, labels: Tensor, num_classes: int, size: tuple[int, int], epoch: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Augment one batch.

        Args:
            images: uint8 (batch, height, width, channels).
            labels: classes (batch,), or a float for each class, (batch, num_classes).
            num_classes: width of the probabilities.
            size: height and width of crops by `crop_scale`; without it, images keep theirs.
            epoch: which `flip="alternate"` needs.

        Returns:
            Images (batch, channels, height, width), uint8 or float within [0, 1], and the labels: unchanged or, if the
            batch was mixed, as floats (batch, num_classes).
        """
        flip = self.flip
        if self.crop_scale is not None:
            batch, height, width, _ = images.shape
            boxes = random_boxes(batch, height, width, self.crop_scale, self.crop_ratio)
            mirrored = which_to_mirror(images, flip, epoch).cpu()
            images, flip = scaled_crop(images, boxes, mirrored, size).permute(0, 2, 3, 1), False
        if flip or self.crop_padding:
            images = flip_and_crop(images, flip, self.crop_padding, epoch)
        images = images.permute(0, 3, 1, 2)
        if self.affine is not None:
            images = self.affine(as_float(images)).clamp(0, 1)
        if self.lighting:
            images = recolour(images, self.lighting, self.color)
        if self.erase is not None:
            images = self.erase(as_float(images))
        if self.mixes:
            chance = float(torch.rand(()))
            if chance < self.mixup:
                return mixup(images, labels, num_classes)
            if chance < self.mixup + self.cutmix:
                return cutmix(images, labels, num_classes)
        return images, labels


def which_to_mirror(images: Tensor, flip: Flip, epoch: int) -> Tensor:
    """Tell which images of a batch to mirror, bool (batch,).

    Alternating flips know an image by a hash of its pixels' sum, so they need neither its place in the data nor a
    random number, and a resumed training goes on with them exactly.
    """
    batch, device = len(images), images.device
    if flip != "alternate":
        return torch.rand(batch, device=device) < 0.5 if flip else torch.zeros(batch, dtype=torch.bool, device=device)
    # Bit 16 of the product with a large odd number: sums that are all even, or close together, still fall in halves.
    hashed = images.flatten(1).sum(1).long() * 2654435761 >> 16
    return (hashed + epoch) % 2 == 1


def flip_and_crop(images: Tensor, flip: Flip, padding: int, epoch: int = 0) -> Tensor:
    """Mirror about half of the images, and shift each by up to `padding` pixels with its border reflected.

    One gather does all of it. For `flip` and `epoch` see `which_to_mirror`. Images are (batch, height, width,
    channels), of any type, before and after. Raises ValueError if the padding is not smaller than the side.
    """
    batch, height, width, _ = images.shape
    if padding >= min(height, width):
        raise ValueError(f"crop_padding must be smaller than the image, got {padding} for {height}x{width}")
    device = images.device
    shift = torch.randint(-padding, padding + 1, (2, batch, 1), device=device)
    rows = _reflect(torch.arange(height, device=device) + shift[0], height)
    columns = _reflect(torch.arange(width, device=device) + shift[1], width)
    if flip:
        mirrored = which_to_mirror(images, flip, epoch)
        columns = torch.where(mirrored[:, None], width - 1 - columns, columns)
    # Over flat rows of pixels: one index for each pixel costs a quarter of three.
    first = torch.arange(batch, device=device).view(-1, 1, 1) * height
    index = (first + rows[:, :, None]) * width + columns[:, None, :]
    return images.flatten(0, 2).index_select(0, index.flatten()).view(images.shape)


def _reflect(positions: Tensor, size: int) -> Tensor:
    """Fold positions beyond either border back inside; the border itself is not repeated."""
    return (size - 1) - (positions.abs() - (size - 1)).abs()


def recolour(images: Tensor, lighting: float, color: float) -> Tensor:
    """Change the saturation of each image, its contrast around its mean grey, and its brightness.

    Args:
        images: (batch, channels, height, width), uint8 or float within [0, 1].
        lighting: contrast and brightness are multiplied by up to 1 +- this.
        color: saturation is; images of one channel have none.

    Returns:
        Float images within [0, 1].
    """
    images = as_float(images)
    amounts = torch.tensor([color, lighting, lighting], device=images.device).view(3, 1, 1, 1, 1)
    drawn = torch.rand(3, len(images), 1, 1, 1, device=images.device)
    saturation, contrast, brightness = 1 + amounts * (2 * drawn - 1)
    share = images.new_tensor(LUMA if images.shape[1] == 3 else [1.0])
    grey = (images.permute(0, 2, 3, 1) @ share)[:, None]
    rest = torch.lerp(grey.mean((2, 3), keepdim=True), grey * (1 - saturation), contrast)
    return torch.addcmul(rest * brightness, images, saturation * contrast * brightness).clamp_(0, 1)


def _affine(rotation: float, translation: float, scale: float) -> nn.Module | None:
    if not (rotation or translation or scale):
        return None
    from kornia.augmentation import RandomAffine  # kornia takes a second to import

    shift = (translation, translation) if translation else None
    sizes = (1 - scale, 1 + scale) if scale else None
    return RandomAffine(rotation, translate=shift, scale=sizes, padding_mode="reflection", p=1.0)


def _erasing(chance: float) -> nn.Module | None:
    if not chance:
        return None
    from kornia.augmentation import RandomErasing

    return RandomErasing(p=chance)
