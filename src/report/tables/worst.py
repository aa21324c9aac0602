"""The rows with the highest losses, as they stand in the table."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from src.report.tables.columns import Column
from src.report.tables.net import TableNet, TableRows
from src.report.wording import shortened


def names_of(datamodule: Any) -> dict[str, Sequence[Any]] | None:
    """What names the rows of the report's split, as DataModule.tested_rows; None of data without names."""
    try:
        return datamodule.tested_rows() if hasattr(datamodule, "tested_rows") else None
    except NotImplementedError:
        return None


def worst_rows(
    net: TableNet,
    rows: TableRows,
    losses: np.ndarray,
    columns: Sequence[Column],
    count: int,
    row_names: Mapping[str, Sequence[Any]] | None = None,
) -> tuple[list[str], list[list[Any]]]:
    """Head and rows of a table: the highest losses first, the columns in the given order.

    Args:
        net: whose predictions are shown.
        rows: among which to look.
        losses: of these rows.
        columns: that are shown.
        count: how many rows are listed.
        row_names: what names each row of the split, by the heads of columns; None: its place in the split, from 1.
    """
    order = np.argsort(-losses, kind="stable")[:count]
    worst = rows.take(order.copy())
    predicted, true = _predicted_cells(net, net.predictions(worst)), _true_cells(net, net.truth(worst))
    codes, scaled = worst.categories.cpu().numpy(), worst.continuous.cpu().numpy()
    names = net.names if net.is_regression else [net.target]
    places = [int(number) for number in worst.numbers]
    named: dict[str, list[Any]] = {"row": [place + 1 for place in places]}
    if row_names is not None:
        named = {name: [values[place] for place in places] for name, values in row_names.items()}
    head = [*named, "loss", *(f"{name}, {kind}" for name in names for kind in ("true", "predicted"))]
    table = [
        [
            *(values[place] for values in named.values()),
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
