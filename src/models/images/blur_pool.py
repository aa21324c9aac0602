"""Halving a picture without aliasing."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BlurPool(nn.Module):
    """Blur each channel with the 3x3 binomial filter, then keep every second row and column.

    images: (batch, channels, height, width).  Returns (batch, channels, ceil(height / 2), ceil(width / 2)).
    Source: Zhang 2019, arXiv:1904.11486, section 3.2 (Tri-3).
    """

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        line = torch.tensor([0.25, 0.5, 0.25])
        self.register_buffer("kernel", torch.outer(line, line).view(1, 1, 3, 3), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        channels = images.shape[1]
        # Differs from the paper: the border is repeated, not reflected; so pictures of one pixel pass as well.
        padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
        return F.conv2d(padded, self.kernel.to(images.dtype).expand(channels, 1, 3, 3), stride=2, groups=channels)
