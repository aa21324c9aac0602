"""A multi-layer perceptron on entity embeddings and continuous columns, for tables."""

from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from src.models.dropout import Dropout
from src.models.tables.ensemble_layers import MemberLinear, MemberScaling
from src.models.tables.entity_embedding import EntityEmbedding
from src.models.tables.numerical_embedding import PeriodicEmbedding, PiecewiseLinearEmbedding
from src.models.tables.row_batch_norm import RowBatchNorm

# Width of the vectors of a column with `size` categories.
WIDTH_RULES = {
    "power": lambda size: 1.6 * size**0.56,  # fast.ai's
    "half": lambda size: size / 2,
    "sqrt": lambda size: size**0.5,
}
VECTORS = ("piecewise_linear", "periodic")  # what makes a vector of a number


class EntityMLP(nn.Module):
    """Embeddings of the categories beside the continuous columns, then linear layers, ReLU, batch norm, dropout.

    Sources: Guo and Berkhahn 2016, arXiv:1604.06737; the order of the layers and y_range are fast.ai's. The authors'
    packages tabm 0.0.3 and rtdl_num_embeddings 0.0.12 have these options too, but tabm feeds categories one-hot, and
    only four layers of ten lines could be taken from both.

    Args:
        continuous_bins: Each column's edges, for numerical=piecewise_linear.
        target_range: [low, high] of each output, for y_range.
        embedding_width: Of each column's vectors: one of WIDTH_RULES or a number, at most max_embedding_width.
        embedding_std: See EntityEmbedding.
        numerical: "none" passes continuous columns through a batch norm, "raw" without it; "piecewise_linear" and
            "periodic" make each column a vector of numerical_width.
        max_input_size: Most numbers of all columns' vectors together, None for no limit. The widest vectors become
            narrower, down to 1: otherwise a table of a thousand columns takes minutes where a small one takes seconds.
        num_frequencies, frequency_scale: See PeriodicEmbedding.
        relu: False leaves one linear map after the columns are read, whatever the number of layers.
        num_members: 2 or more make an ensemble of nets that share most of their weights (see ensemble_layers).
        y_range: Whether a sigmoid keeps outputs within target_range and a tenth of it on either side.
    """

    def __init__(
        self,
        category_sizes: list[int],
        num_continuous: int,
        num_outputs: int,
        continuous_bins: list[list[float]],
        target_range: list[list[float]],
        *,
        embedding_width: str | int,
        max_embedding_width: int,
        embedding_dropout: float,
        embedding_std: float,
        unknown_dropout: float,
        numerical: Literal["none", "raw", "piecewise_linear", "periodic"],
        numerical_width: int,
        max_input_size: int | None,
        num_frequencies: int,
        frequency_scale: float,
        widths: list[int],
        relu: bool,
        dropout: float,
        batch_norm: bool,
        num_members: int,
        y_range: bool,
    ) -> None:
        super().__init__()
        if not category_sizes and not num_continuous:
            raise ValueError("EntityMLP needs a categorical or a continuous column, got none")
        if num_members < 1:
            raise ValueError(f"num_members must be positive, got {num_members}")
        embedding_widths = widths_by_rule(category_sizes, embedding_width, max_embedding_width)
        if max_input_size is not None:
            number_widths = [numerical_width if numerical in VECTORS else 1] * num_continuous
            most = widest_within([*embedding_widths, *number_widths], max_input_size)
            embedding_widths, numerical_width = [min(w, most) for w in embedding_widths], min(numerical_width, most)
        self.embedding = EntityEmbedding(
            category_sizes,
            embedding_widths,
            dropout=embedding_dropout,
            unknown_dropout=unknown_dropout,
            std=embedding_std,
        )
        self.numerical, numerical_size = numerical_layer(
            numerical, num_continuous, continuous_bins, numerical_width, num_frequencies, frequency_scale
        )
        input_size = sum(embedding_widths) + numerical_size
        self.hidden = hidden_layers([input_size, *widths], relu, dropout, batch_norm)
        output_size = widths[-1] if widths else input_size
        if num_members == 1:
            self.members = nn.Identity()
            self.head = nn.Linear(output_size, num_outputs)
        else:
            self.members = MemberScaling(num_members, input_size)
            self.head = MemberLinear(num_members, output_size, num_outputs)
        self.range = SigmoidRange(target_range) if y_range else nn.Identity()

    def forward(self, categories: Tensor, continuous: Tensor) -> Tensor:
        """Return logits or scaled values: (batch, num_outputs), for an ensemble (batch, num_members, num_outputs).

        Args:
            categories: int64 (batch, columns).
            continuous: (batch, num_continuous).
        """
        x = torch.cat([self.embedding(categories), self.numerical(continuous)], dim=1)
        x = self.members(x)
        # The hidden layers see each member as one more row.
        x = self.hidden(x.flatten(0, -2)).unflatten(0, x.shape[:-1])
        return self.range(self.head(x))

    def layer_groups(self) -> list[list[nn.Module]]:
        """Return the layers that read the columns, the hidden layers, the head."""
        groups: list[list[nn.Module]] = [[self.embedding, self.numerical, self.members], [self.hidden], [self.head]]
        return [group for group in groups if any(True for module in group for _ in module.parameters())]


def widths_by_rule(category_sizes: list[int], rule: str | int, max_width: int) -> list[int]:
    """Return the width of each column's vectors, 1 or more; ValueError for an unknown rule."""
    if isinstance(rule, str) and rule not in WIDTH_RULES:
        raise ValueError(f"embedding_width must be {', '.join(WIDTH_RULES)} or a number, got {rule}")
    widths = [rule if isinstance(rule, int) else round(WIDTH_RULES[rule](size)) for size in category_sizes]
    return [max(1, min(width, max_width)) for width in widths]


def widest_within(widths: list[int], size: int) -> int:
    """Return the largest width, 1 or more, to which all can be cut for their sum to be at most `size`, if any can."""
    return next((most for most in range(max(widths), 1, -1) if sum(min(w, most) for w in widths) <= size), 1)


def numerical_layer(
    kind: str, num_continuous: int, bins: list[list[float]], width: int, num_frequencies: int, frequency_scale: float
) -> tuple[nn.Module, int]:
    """Return the layer that reads the continuous columns and its output size; ValueError for an unknown kind."""
    if kind not in ("none", "raw", *VECTORS):
        raise ValueError(f"numerical must be none, raw, piecewise_linear or periodic, got {kind}")
    if not num_continuous:
        return nn.Identity(), 0
    if kind == "raw":
        return nn.Identity(), num_continuous
    if kind == "none":
        return RowBatchNorm(num_continuous), num_continuous
    if kind == "piecewise_linear":
        return PiecewiseLinearEmbedding(bins, width=width), num_continuous * width
    layer = PeriodicEmbedding(
        num_continuous, width=width, num_frequencies=num_frequencies, frequency_scale=frequency_scale
    )
    return layer, num_continuous * width


def hidden_layers(sizes: list[int], relu: bool, dropout: float, batch_norm: bool) -> nn.Sequential:
    """Return linear layers from size to size, each followed by the chosen ones of ReLU, batch norm and dropout."""
    layers = nn.Sequential()
    for before, after in pairwise(sizes):
        layers.append(nn.Linear(before, after))
        if relu:
            layers.append(nn.ReLU())
        if batch_norm:
            layers.append(RowBatchNorm(after))
        if dropout:
            layers.append(Dropout(dropout))
    return layers


class SigmoidRange(nn.Module):
    """A sigmoid from each output's low to its high, plus a tenth on either side because it never reaches its ends."""

    low: Tensor
    size: Tensor

    def __init__(self, target_range: list[list[float]]) -> None:
        super().__init__()
        if not target_range:
            raise ValueError("y_range is for regression: this table has classes; set y_range=false")
        low, high = torch.tensor(target_range).T
        self.register_buffer("low", low - 0.1 * (high - low))
        self.register_buffer("size", 1.2 * (high - low))

    def forward(self, x: Tensor) -> Tensor:
        return self.low + self.size * x.sigmoid()
