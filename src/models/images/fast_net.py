"""A small convolutional net designed to learn as much as possible per second, on a CPU or (wider) on a GPU."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class StagedNet(nn.Module):
    """Base of nets with a stem, stages that end in feature maps, and a linear head for the mean over their pixels."""

    stem: "PatchStem"
    stages: nn.Sequential
    head: nn.Linear

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, (batch, num_classes), of images, (batch, in_chans, height, width)."""
        x = self.stem(images)
        x = self.stages(x)
        return self.head(x.mean((2, 3)))

    def layer_groups(self) -> list[list[nn.Module]]:
        """Return all stages but the last, the last stage, the head."""
        *early, late = self.stages
        groups: list[list[nn.Module]] = [early, [late], [self.head]]
        return [group for group in groups if group]


class FastNet(StagedNet):
    """A fixed stem that whitens 2x2 patches, stages of 3x3 convolutions, mean pool, linear.

    The order is convolution, pool, norm, activation (Jordan 2024, arXiv:2404.00498, section 3): norm and activation,
    limited by memory, then touch a quarter of the values. Two thirds of a step are convolutions near the hardware's
    peak.

    Args:
        widths: Channels of each stage.
        depths: Convolutions of each stage: the first halves the image, the others have a shortcut.
        norm_momentum: Of batch norm's running statistics; short trainings need more than PyTorch's 0.1.
    """

    def __init__(
        self, in_chans: int, num_classes: int, *, widths: list[int], depths: list[int], norm_momentum: float
    ) -> None:
        super().__init__()
        if not widths or len(widths) != len(depths) or min(depths) < 1:
            raise ValueError(f"FastNet needs a width and a depth of 1 or more for each stage, got {widths=}, {depths=}")
        self.stem = PatchStem(in_chans, norm_momentum)
        self.stages = nn.Sequential()
        channels = self.stem.out_channels
        for width, depth in zip(widths, depths, strict=True):
            layers = [ConvBlock(channels, width, norm_momentum, halve=True)]
            layers += [ConvBlock(width, width, norm_momentum, halve=False) for _ in range(depth - 1)]
            self.stages.append(nn.Sequential(*layers))
            channels = width
        self.head = nn.Linear(channels, num_classes, bias=False)


class PatchStem(nn.Module):
    """Sums and differences of the pixels and colours of each 2x2 patch, scaled to unit variance, and their negatives.

    (batch, in_chans, h, w) -> (batch, 8 * in_chans, h - 1, w - 1). Nothing is learned: sums and differences are the
    principal axes of small patches of natural images, and batch norm scales them. This whitens nearly as well as a stem
    computed from the training set (Jordan 2024, section 3.2), without reading it.
    """

    filters: Tensor

    def __init__(self, in_chans: int, norm_momentum: float) -> None:
        super().__init__()
        pixels = torch.tensor([[1.0, 1.0], [1.0, -1.0]]) / 2**0.5
        patches = torch.einsum("ah,bw->abhw", pixels, pixels).reshape(4, 2, 2)
        filters = torch.einsum("phw,oc->pochw", patches, colour_axes(in_chans)).reshape(4 * in_chans, in_chans, 2, 2)
        self.register_buffer("filters", filters)
        self.norm = nn.BatchNorm2d(4 * in_chans, affine=False, momentum=norm_momentum)
        self.out_channels = 8 * in_chans

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        x = self.norm(F.conv2d(images, self.filters))
        return torch.cat([x, -x], dim=1).relu()


def colour_axes(in_chans: int) -> Tensor:
    """Return orthonormal rows: brightness, red against blue, green against both; without 3 channels, the channels."""
    if in_chans != 3:
        return torch.eye(in_chans)
    axes = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]])
    return axes / axes.norm(dim=1, keepdim=True)


class ConvBlock(nn.Module):
    """3x3 convolution, 2x2 max pool if `halve`, batch norm, ReLU; added to the input unless `halve`."""

    def __init__(self, in_channels: int, out_channels: int, norm_momentum: float, halve: bool) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(out_channels, momentum=norm_momentum)
        self.halve = halve

    def forward(self, x: Tensor) -> Tensor:
        y = self.convolution(x)
        if self.halve and min(y.shape[2:]) > 1:
            y = F.max_pool2d(y, 2)
        y = F.relu(self.norm(y), inplace=True)
        return y if self.halve else x + y
