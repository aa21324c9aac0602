"""An ensemble in one net: the members share all layers except an input scaling and the head (TabM-mini).

Source: Gorishniy et al. 2024, arXiv:2410.24210, section 3.
"""

import torch
from torch import Tensor, nn


class MemberScaling(nn.Module):
    """Multiplies each input by a learned factor per member, 1 or -1 at first."""

    def __init__(self, num_members: int, input_size: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.randn(num_members, input_size).sign())

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, input_size) to (batch, members, input_size)."""
        return x.unsqueeze(1) * self.scale


class MemberLinear(nn.Module):
    """A linear layer for each member."""

    def __init__(self, num_members: int, input_size: int, output_size: int) -> None:
        super().__init__()
        bound = input_size**-0.5
        self.weight = nn.Parameter(torch.empty(num_members, input_size, output_size).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(num_members, output_size).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, members, input_size) to (batch, members, output_size)."""
        return torch.einsum("bmi,mio->bmo", x, self.weight) + self.bias
