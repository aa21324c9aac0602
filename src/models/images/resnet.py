"""Residual networks for image classification."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ResNet(nn.Module):
    """A stem, stages of residual blocks, each half as large and twice as wide as the one before, mean pool, linear.

    Source: He et al. 2016, arXiv:1512.03385, table 1 and section 4.2 (small stem).

    Args:
        blocks: Number of blocks in each stage.
        bottleneck: Whether blocks are 1x1, 3x3, 1x1 convolutions, 4 times as wide outside, instead of two 3x3.
        width: Channels of the first stage (inside its blocks).
        stem: "small" keeps the image's size (CIFAR), "large" divides it by 4 (7x7 convolution, max pool), "xresnet"
            too, with three 3x3 convolutions (He et al. 2018, arXiv:1812.01187, section 4.2, ResNet-C).
        zero_init_residual: Whether each block starts as its shortcut alone (section 3.1 there).
        antialias: Whether to blur before each halving except the first convolution's (Zhang 2019, arXiv:1904.11486).
    """

    def __init__(
        self,
        in_chans: int,
        num_classes: int,
        *,
        blocks: list[int],
        bottleneck: bool,
        width: int,
        stem: Literal["small", "large", "xresnet"],
        zero_init_residual: bool,
        antialias: bool,
    ) -> None:
        super().__init__()
        if not blocks or min(blocks) < 1:
            raise ValueError(f"blocks must name at least one stage, each of one block or more, got {blocks}")
        self.stem = make_stem(stem, in_chans, width, antialias)
        self.stages = nn.Sequential()
        channels = width
        for depth, num_blocks in enumerate(blocks):
            stage = nn.Sequential()
            for index in range(num_blocks):
                stride = 2 if depth > 0 and index == 0 else 1
                block = Block(channels, width * 2**depth, stride, bottleneck, antialias)
                stage.append(block)
                channels = block.out_channels
            self.stages.append(stage)
        self.head = nn.Linear(channels, num_classes)
        self._initialise(zero_init_residual)

    def _initialise(self, zero_init_residual: bool) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if isinstance(module, Block) and zero_init_residual:
                last_norm = module.branch[-1]
                assert isinstance(last_norm, nn.BatchNorm2d)
                nn.init.zeros_(last_norm.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, (batch, num_classes), of images, (batch, in_chans, height, width)."""
        x = self.stem(images)
        x = self.stages(x)
        return self.head(x.mean((2, 3)))

    def layer_groups(self) -> list[list[nn.Module]]:
        """Return the stem with the first half of the stages, the second half, the head."""
        stages = list(self.stages)
        half = len(stages) // 2
        return [[self.stem, *stages[:half]], stages[half:], [self.head]]


class Block(nn.Module):
    """relu(shortcut + branch): two 3x3 convolutions, or a bottleneck, learn what to add to the input."""

    def __init__(self, in_channels: int, width: int, stride: int, bottleneck: bool, antialias: bool) -> None:
        super().__init__()
        self.out_channels = 4 * width if bottleneck else width
        if bottleneck:
            # Differs from the paper: the 3x3 convolution has the stride, not the first 1x1, which would skip three of
            # four inputs. Not measured here; arXiv:1812.01187, section 4.2 (ResNet-B), found it better on ImageNet.
            self.branch = nn.Sequential(
                *conv_norm_relu(in_channels, width, 1),
                *conv_norm_relu(width, width, 3, stride, antialias),
                *conv_norm(width, self.out_channels, 1),
            )
        else:
            self.branch = nn.Sequential(
                *conv_norm_relu(in_channels, width, 3, stride, antialias), *conv_norm(width, width, 3)
            )
        self.shortcut = nn.Sequential()
        if stride > 1 or in_channels != self.out_channels:
            blur = antialias and stride > 1
            convolution = conv_norm(in_channels, self.out_channels, 1, 1 if blur else stride)
            self.shortcut.extend([BlurPool(), *convolution] if blur else convolution)

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, out_channels, height / stride, width / stride) for x, (batch, in_channels, height, width)."""
        return F.relu(self.shortcut(x) + self.branch(x), inplace=True)


def make_stem(name: str, in_channels: int, width: int, antialias: bool) -> nn.Sequential:
    """Return the layers before the first stage: they give `width` channels and keep the size or divide it by 4."""
    pool = [nn.MaxPool2d(3, 1, 1), BlurPool()] if antialias else [nn.MaxPool2d(3, 2, 1)]
    match name:
        case "small":
            layers = conv_norm_relu(in_channels, width, 3)
        case "large":
            layers = [*conv_norm_relu(in_channels, width, 7, 2), *pool]
        case "xresnet":
            first = conv_norm_relu(in_channels, width // 2, 3, 2)
            layers = [*first, *conv_norm_relu(width // 2, width // 2, 3), *conv_norm_relu(width // 2, width, 3), *pool]
        case _:
            raise ValueError(f"stem must be small, large or xresnet, got {name}")
    return nn.Sequential(*layers)


def conv_norm(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> list[nn.Module]:
    """Return a convolution without bias and its batch norm."""
    convolution = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=False)
    return [convolution, nn.BatchNorm2d(out_channels)]


def conv_norm_relu(
    in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, antialias: bool = False
) -> list[nn.Module]:
    """Return convolution, batch norm, ReLU; with antialias a blur after them replaces the stride."""
    blur = antialias and stride > 1
    layers = [*conv_norm(in_channels, out_channels, kernel_size, 1 if blur else stride), nn.ReLU(inplace=True)]
    return [*layers, BlurPool()] if blur else layers


class BlurPool(nn.Module):
    """Blur each channel with the 3x3 binomial filter, then keep every second row and column (sizes rounded up).

    Source: Zhang 2019, arXiv:1904.11486, section 3.2 (Tri-3).
    """

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        line = torch.tensor([0.25, 0.5, 0.25])
        self.register_buffer("kernel", torch.outer(line, line).view(1, 1, 3, 3), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        channels = images.shape[1]
        # Differs from the paper: the border is repeated, not reflected, so images of one pixel work too; not measured.
        padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
        return F.conv2d(padded, self.kernel.to(images.dtype).expand(channels, 1, 3, 3), stride=2, groups=channels)
