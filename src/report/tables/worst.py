"""The rows with the highest losses, as they stand in the table."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from src.report.tables.columns import Column
from src.report.tables.net import TableNet, TableRows
from src.report.wording import shortened


def worst_rows(
    net: TableNet, rows: TableRows, losses: np.ndarray, columns: Sequence[Column], count: int
) -> tuple[list[str], list[list[Any]]]:
    """Head and rows of a table: the highest losses first, the columns in the given order.

    A row's number is its place in the split, from 1.
    """
    order = np.argsort(-losses, kind="stable")[:count]
    worst = rows.take(order.copy())
    predicted, true = _predicted_cells(net, net.predictions(worst)), _true_cells(net, net.truth(worst))
    codes, scaled = worst.categories.cpu().numpy(), worst.continuous.cpu().numpy()
    names = net.names if net.is_regression else [net.target]
    head = ["row", "loss", *(f"{name}, {kind}" for name in names for kind in ("true", "predicted"))]
    table = [
        [
            int(worst.numbers[place]) + 1,
            float(losses[row]),
            *(text for pair in zip(true[place], predicted[place], strict=True) for text in pair),
            *(_on_one_line(column.text(codes[place], scaled[place])) for column in columns),
        ]
        for place, row in enumerate(order)
    ]
    return [*head, *(column.name for column in columns)], table


def _on_one_line(text: str) -> str:
    return shortened(text, 50).replace(" ", "\N{NO-BREAK SPACE}")


def _true_cells(net: TableNet, values: np.ndarray) -> list[list[str | float]]:
    """For each row the values of its targets, or its class."""
    return values.tolist() if net.is_regression else [[net.names[number]] for number in values]


def _predicted_cells(net: TableNet, values: np.ndarray) -> list[list[str | float]]:
    """For each row the values of its targets, or the most probable class with its probability."""
    if net.is_regression:
        return values.tolist()
    return [[_on_one_line(f"{net.names[row.argmax()]} ({row.max():.1%})")] for row in values]
