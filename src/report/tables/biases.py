"""What a net of collaborative filtering has learned of each category alone: its bias."""

from typing import Any

import numpy as np

from src.report.parts import Part, Table
from src.report.tables.columns import FIRST_KNOWN, Column

NUM_SHOWN = 10


def has_biases(net: Any) -> bool:
    """Whether a net has `bias.vectors(column)`, (codes, 1), as DotProduct does."""
    return hasattr(getattr(net, "bias", None), "vectors")


def bias_tables(net: Any, columns: list[Column]) -> list[Part]:
    """A table for each category column: the categories of the highest and of the lowest bias; [] for other nets.

    Args:
        net: see `has_biases`.
        columns: of the table.
    """
    if not has_biases(net):
        return []
    return [_table(category, net.bias.vectors(category.place)) for column in columns for category in column.categories]


def _table(category: Any, vectors: Any) -> Table:
    biases = vectors[FIRST_KNOWN:].flatten().cpu().float().numpy()
    names, order = category.texts[FIRST_KNOWN:], np.argsort(-biases, kind="stable")
    count = min(NUM_SHOWN, (len(names) + 1) // 2)
    pairs = zip(order[:count], order[::-1][:count], strict=True)
    rows = [[names[high], float(biases[high]), names[low], float(biases[low])] for high, low in pairs]
    return Table(category.name, ["highest", "bias", "lowest", "bias"], rows)
