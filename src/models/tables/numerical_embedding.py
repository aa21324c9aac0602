"""Continuous columns, each as a vector that bends with its value, before a net mixes them.

Source: Gorishniy et al. 2022, arXiv:2203.05556.
"""

import math

import torch
from torch import Tensor, nn


class PiecewiseLinearEmbedding(nn.Module):
    """For each column a curve of `width` dimensions that may bend at the edges of its bins; at first a straight line.

    A linear layer of each column's own sees how much of each bin a value has passed, 0 to 1, and the value itself.
    Source: section 3.2; the straight line: Gorishniy et al. 2024, arXiv:2410.24210.
    """

    edges: Tensor
    sizes: Tensor

    def __init__(self, bins: list[list[float]], *, width: int) -> None:
        """bins: each column's edges, rising; with fewer than two of them a column's line stays straight."""
        super().__init__()
        # Differs from the paper: what lies beyond the last edges passes no more of the outer bins than they hold, so
        # that an outlier moves along the straight line only.
        shape = (len(bins), max(1, *(len(edges) - 1 for edges in bins)))
        edges, sizes = torch.zeros(shape), torch.full(shape, torch.inf)  # of an endless bin nothing is ever passed
        for column, own in enumerate(map(torch.tensor, bins)):
            edges[column, : len(own) - 1] = own[:-1]
            sizes[column, : len(own) - 1] = own.diff()
        self.register_buffer("edges", edges)
        self.register_buffer("sizes", sizes)
        self.bends = nn.Parameter(torch.zeros(*shape, width))
        self.slopes = nn.Parameter(uniform(len(bins), width, bound=width**-0.5))
        self.bias = nn.Parameter(uniform(len(bins), width, bound=width**-0.5))

    def forward(self, continuous: Tensor) -> Tensor:
        """continuous: (batch, columns).  Returns each row's vectors side by side: (batch, columns * width)."""
        values = continuous.unsqueeze(2)
        passed = ((values - self.edges) / self.sizes).clamp(0, 1)
        curves = torch.einsum("bcn,cnw->bcw", passed, self.bends)
        return (curves + values * self.slopes + self.bias).flatten(1)


class PeriodicEmbedding(nn.Module):
    """Sines and cosines of each value at learned frequencies, then a linear layer for each column and ReLU.

    frequency_scale: the standard deviation of the frequencies at first, in periods per unit of the value.
    Source: section 3.3.
    """

    def __init__(self, num_continuous: int, *, width: int, num_frequencies: int, frequency_scale: float) -> None:
        super().__init__()
        self.frequencies = nn.Parameter(torch.randn(num_continuous, num_frequencies) * frequency_scale)
        bound = (2 * num_frequencies) ** -0.5
        self.weight = nn.Parameter(uniform(num_continuous, 2 * num_frequencies, width, bound=bound))
        self.bias = nn.Parameter(uniform(num_continuous, width, bound=bound))

    def forward(self, continuous: Tensor) -> Tensor:
        """continuous: (batch, columns).  Returns each row's vectors side by side: (batch, columns * width)."""
        angles = 2 * math.pi * continuous.unsqueeze(2) * self.frequencies
        waves = torch.cat([angles.cos(), angles.sin()], dim=2)
        return (torch.einsum("bcn,cnw->bcw", waves, self.weight) + self.bias).relu().flatten(1)


def uniform(*shape: int, bound: float) -> Tensor:
    """Random numbers within (-bound, bound)."""
    return torch.empty(shape).uniform_(-bound, bound)
