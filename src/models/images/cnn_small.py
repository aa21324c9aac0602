"""A plain convolutional net for small images."""

from itertools import pairwise

import torch
from torch import Tensor, nn


class CNNSmall(nn.Module):
    """3x3 convolutions with batch norm and ReLU, one per width, max pools between them, mean pool, linear."""

    def __init__(self, in_chans: int, num_classes: int, *, widths: list[int]) -> None:
        super().__init__()
        if not widths:
            raise ValueError("widths must name at least one layer, got []")
        sizes = [in_chans, *widths]
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True))
            for a, b in pairwise(sizes)
        )
        self.head = nn.Linear(widths[-1], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, (batch, num_classes), of images, (batch, in_chans, height, width)."""
        x = images
        for depth, stage in enumerate(self.stages):
            if depth and min(x.shape[-2:]) > 1:
                x = torch.max_pool2d(x, 2)
            x = stage(x)
        return self.head(x.mean((2, 3)))
