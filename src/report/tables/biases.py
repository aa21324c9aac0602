"""What a net of collaborative filtering has learned of each category alone: its bias."""

from typing import Any

import numpy as np

from src.report.parts import Part, Table
from src.report.tables.columns import FIRST_KNOWN, Column

NUM_SHOWN = 10


def bias_tables(net: Any, columns: list[Column]) -> list[Part]:
    """A table for each category column: the categories of the highest and of the lowest bias; [] for other nets.

    Args:
        net: it has `bias.vectors(column)`, (codes, 1), see DotProduct.
        columns: of the table.
    """
    vectors = getattr(getattr(net, "bias", None), "vectors", None)
    categories = [category for column in columns for category in column.categories]
    return [] if vectors is None else [_table(category, vectors(category.place)) for category in categories]


def _table(category: Any, vectors: Any) -> Table:
    biases = vectors[FIRST_KNOWN:].flatten().cpu().float().numpy()
    names, order = category.texts[FIRST_KNOWN:], np.argsort(-biases, kind="stable")
    count = min(NUM_SHOWN, (len(names) + 1) // 2)
    pairs = zip(order[:count], order[::-1][:count], strict=True)
    rows = [[names[high], float(biases[high]), names[low], float(biases[low])] for high, low in pairs]
    return Table(category.name, ["highest", "bias", "lowest", "bias"], rows)
