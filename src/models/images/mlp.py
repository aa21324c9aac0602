"""The course's first network: matrix multiplications with ReLU between them."""

from itertools import pairwise

from torch import Tensor, nn

from src.models.dropout import Dropout


class MLP(nn.Module):
    """Linear layers on the flattened image, with ReLU and dropout after each one except the last.

    Args:
        image_size: [height, width].
        widths: Of the hidden layers; [] is multinomial logistic regression.
        relu: False leaves one linear map, whatever the number of layers.
    """

    def __init__(
        self, in_chans: int, num_classes: int, image_size: list[int], *, widths: list[int], relu: bool, dropout: float
    ) -> None:
        super().__init__()
        height, width = image_size
        self.input_shape = (in_chans, height, width)
        sizes = [in_chans * height * width, *widths]
        self.hidden = nn.Sequential()
        for before, after in pairwise(sizes):
            self.hidden.append(nn.Linear(before, after))
            if relu:
                self.hidden.append(nn.ReLU())
            if dropout:
                self.hidden.append(Dropout(dropout))
        self.head = nn.Linear(sizes[-1], num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, (batch, num_classes), of images of the size that the net was made for."""
        if images.shape[1:] != self.input_shape:
            raise ValueError(f"this MLP takes images of {self.input_shape}, got {tuple(images.shape[1:])}; resize them")
        return self.head(self.hidden(images.flatten(1)))
