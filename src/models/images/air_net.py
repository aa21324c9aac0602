"""A convolutional net that learns more from each image than FastNet, at seven times its work."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.models.images.fast_net import PatchStem, StagedNet


class AirNet(StagedNet):
    """A fixed stem that whitens 2x2 patches, stages of two 3x3 convolutions with GELU, mean pool, linear.

    Each stage halves the image after its first convolution. Convolutions begin as the identity on as many channels as
    come in; norms learn shifts but no scales. Use it with Muon's `renormalise` and `bias_ratio`.

    Source: Jordan 2024, arXiv:2404.00498, sections 3.1 to 3.4 (airbench94), with the stem and the head of FastNet.

    Args:
        widths: Channels of each stage.
        norm_momentum: Of batch norm's running statistics; short trainings need more than PyTorch's 0.1.
    """

    def __init__(self, in_chans: int, num_classes: int, *, widths: list[int], norm_momentum: float) -> None:
        super().__init__()
        if not widths or min(widths) < 1:
            raise ValueError(f"AirNet needs a width of 1 or more for each stage, got {widths=}")
        self.stem = PatchStem(in_chans, norm_momentum)
        self.stages = nn.Sequential()
        channels = self.stem.out_channels
        for width in widths:
            first = [identity_convolution(channels, width), HalvingPool(), ShiftNorm(width, norm_momentum), nn.GELU()]
            second = [identity_convolution(width, width), ShiftNorm(width, norm_momentum), nn.GELU()]
            self.stages.append(nn.Sequential(*first, *second))
            channels = width
        self.head = nn.Linear(channels, num_classes, bias=False)


class ShiftNorm(nn.BatchNorm2d):
    """Batch norm that learns a shift of each channel, but no scale."""

    def __init__(self, channels: int, momentum: float) -> None:
        super().__init__(channels, momentum=momentum, affine=False)
        self.bias = nn.Parameter(torch.zeros(channels))


class HalvingPool(nn.Module):
    """2x2 max pool; images of one pixel stay."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, channels, height // 2, width // 2) of x, (batch, channels, height, width)."""
        return F.max_pool2d(x, 2) if min(x.shape[2:]) > 1 else x


def identity_convolution(in_channels: int, out_channels: int) -> nn.Conv2d:
    """Return a 3x3 convolution without bias whose first filters pass the channels that come in on unchanged."""
    convolution = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
    with torch.no_grad():
        nn.init.dirac_(convolution.weight[:in_channels])
    return convolution
