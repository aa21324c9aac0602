"""Layers that turn each continuous column into a vector before a net mixes them.

Source: Gorishniy et al. 2022, arXiv:2203.05556.
"""

import math

import torch
from torch import Tensor, nn


class PiecewiseLinearEmbedding(nn.Module):
    """For each column a curve of `width` dimensions that may bend at the edges of its bins; first a straight line.

    Each column has a linear layer that sees the passed share of each bin, 0 to 1, and the value itself.
    Source: section 3.2; the straight line: Gorishniy et al. 2024, arXiv:2410.24210.

    Args:
        bins: Each column's edges, rising; with fewer than two edges a column's line stays straight.
    """

    edges: Tensor
    sizes: Tensor

    def __init__(self, bins: list[list[float]], *, width: int) -> None:
        super().__init__()
        # Differs from the paper: a value beyond the outer edges passes the outer bins at most once, so an outlier
        # moves along the straight line only; not measured.
        shape = (len(bins), max(1, *(len(edges) - 1 for edges in bins)))
        edges, sizes = torch.zeros(shape), torch.full(shape, torch.inf)  # an endless bin is never passed
        for column, own in enumerate(map(torch.tensor, bins)):
            edges[column, : len(own) - 1] = own[:-1]
            sizes[column, : len(own) - 1] = own.diff()
        self.register_buffer("edges", edges)
        self.register_buffer("sizes", sizes)
        self.bends = nn.Parameter(torch.zeros(*shape, width))
        self.slopes = nn.Parameter(uniform(len(bins), width, bound=width**-0.5))
        self.bias = nn.Parameter(uniform(len(bins), width, bound=width**-0.5))

    def forward(self, continuous: Tensor) -> Tensor:
        """Return each row's vectors side by side, (batch, columns * width), of values, (batch, columns)."""
        values = continuous.unsqueeze(2)
        passed = ((values - self.edges) / self.sizes).clamp(0, 1)
        curves = torch.einsum("bcn,cnw->bcw", passed, self.bends)
        return (curves + values * self.slopes + self.bias).flatten(1)


class PeriodicEmbedding(nn.Module):
    """Sines and cosines of each value at learned frequencies, then a linear layer for each column and ReLU.

    Source: section 3.3.

    Args:
        frequency_scale: Standard deviation of the initial frequencies, in periods per unit of the value.
    """

    def __init__(self, num_continuous: int, *, width: int, num_frequencies: int, frequency_scale: float) -> None:
        super().__init__()
        self.frequencies = nn.Parameter(torch.randn(num_continuous, num_frequencies) * frequency_scale)
        bound = (2 * num_frequencies) ** -0.5
        self.weight = nn.Parameter(uniform(num_continuous, 2 * num_frequencies, width, bound=bound))
        self.bias = nn.Parameter(uniform(num_continuous, width, bound=bound))

    def forward(self, continuous: Tensor) -> Tensor:
        """Return each row's vectors side by side, (batch, columns * width), of values, (batch, columns)."""
        angles = 2 * math.pi * continuous.unsqueeze(2) * self.frequencies
        waves = torch.cat([angles.cos(), angles.sin()], dim=2)
        return (torch.einsum("bcn,cnw->bcw", waves, self.weight) + self.bias).relu().flatten(1)


def uniform(*shape: int, bound: float) -> Tensor:
    """Return random numbers within (-bound, bound)."""
    return torch.empty(shape).uniform_(-bound, bound)
