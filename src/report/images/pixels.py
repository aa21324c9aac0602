"""Pictures of a batch, made fit to be shown."""

import base64
import io

import numpy as np
import torch
import torch.nn.functional as F
from markupsafe import Markup
from matplotlib.image import imsave
from torch import Tensor

MAX_SIDE = 96  # pixels: larger ones would make a page of megabytes


def as_pixels(images: Tensor) -> np.ndarray:
    """uint8 or float pictures (batch, channels, height, width) as uint8 (batch, height, width, 3), shrunk to MAX_SIDE.

    Of three channels or more, the first three are red, green and blue; of one or two, the mean is grey.
    """
    pixels = images.float() / (255 if images.dtype == torch.uint8 else 1)
    pixels = pixels[:, :3] if images.shape[1] >= 3 else pixels.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    shrink = MAX_SIDE / max(images.shape[2:])
    if shrink < 1:
        size = [max(1, round(side * shrink)) for side in images.shape[2:]]
        pixels = F.interpolate(pixels, size, mode="bilinear", antialias=True)
    return (pixels.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def as_markup(pixels: np.ndarray, alt: str, width: int = 64) -> Markup:
    """One of those as an element of a page, `width` of its pixels wide, enlarged without blur."""
    file = io.BytesIO()
    imsave(file, pixels, format="png")
    return Markup('<img src="data:image/png;base64,{}" alt="{}" width="{}" style="image-rendering: pixelated">').format(
        base64.b64encode(file.getvalue()).decode(), alt, width
    )
