"""Collaborative filtering: how well a user and an item go together is the product of their vectors, and two biases."""

from typing import Any

import torch
from torch import Tensor, nn

from src.models.tables.entity_embedding import EntityEmbedding
from src.models.tables.entity_mlp import SigmoidRange


class DotProduct(nn.Module):
    """Matrix factorisation with biases, for tables of two categories and one target.

    The answer is u . v + b_u + b_v + c. Vectors and biases start near zero; users and items that training lacks, whose
    vectors are not learned, so get the mean c and the other's bias.
    Source: Koren, Bell and Volinsky 2009, "Matrix factorization techniques for recommender systems", equation 4; with
    fast.ai's y_range.

    Args:
        category_sizes: Number of codes of the two columns, such as users and items.
        target_range: [low, high] of the scaled target, for y_range.
        width: Size of the vectors.
        y_range: Whether a sigmoid keeps answers within target_range and a tenth of it on either side.
    """

    def __init__(
        self,
        category_sizes: list[int],
        num_continuous: int,
        num_outputs: int,
        target_range: list[list[float]],
        *,
        width: int,
        y_range: bool,
    ) -> None:
        super().__init__()
        if len(category_sizes) != 2 or num_continuous or num_outputs != 1:
            raise ValueError(
                "dot_product takes two categorical columns, no continuous one, and one target; got "
                f"{len(category_sizes)} and {num_continuous}, and {num_outputs} outputs: name the two in "
                "datamodule.categorical, and set continuous=[] and dates=[]; entity_mlp takes all"
            )
        if width < 1:
            raise ValueError(f"width must be positive, got {width}")
        options: Any = {"dropout": 0.0, "unknown_dropout": 0.0, "std": 0.01}
        self.embedding = EntityEmbedding(category_sizes, [width, width], **options)
        self.bias = EntityEmbedding(category_sizes, [1, 1], **options)
        self.mean = nn.Parameter(torch.zeros(1))
        self.range = SigmoidRange(target_range) if y_range else nn.Identity()

    def forward(self, categories: Tensor, continuous: Tensor) -> Tensor:
        """Return logits or scaled values, (batch, 1), of int64 categories, (batch, 2)."""
        users, items = self.embedding(categories).chunk(2, dim=1)
        answers = (users * items).sum(1, keepdim=True) + self.bias(categories).sum(1, keepdim=True) + self.mean
        return self.range(answers)
