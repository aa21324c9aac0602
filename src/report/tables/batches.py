"""What a net gets of a table: rows of a training batch in words, beside the numbers made of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from src.report.parts import Prose, Section, Table
from src.report.tables.columns import Column, table_columns
from src.report.wording import shortened

NUM_ROWS = 6


def sections(datamodule: Any, batches: Sequence[Sequence[Any]]) -> list[Section]:
    """Show the first rows of the first batch, a column of the page for each.

    Args:
        datamodule: a set of tables: it has a `spec`, and its `decoded` turns targets into words or numbers.
        batches: of training: (categories, continuous, targets).
    """
    codes, scaled, targets = (tensor[:NUM_ROWS].cpu().numpy() for tensor in batches[0][:3])
    columns = table_columns(datamodule.spec["processing"])
    known = _targets(datamodule, targets)
    rows = [[name, *(_cell(text, number) for text, number in pairs)] for name, pairs in known.items()]
    rows += [
        [column.name, *(_cell(column.text(*row), inputs(column, *row)) for row in zip(codes, scaled, strict=True))]
        for column in columns
    ]
    head = ["column", *(f"row {number + 1}" for number in range(len(targets)))]
    note = (
        "Above is the value in the table, below what the net gets. Code 0 is a missing category, 1 one that the "
        "training rows lack; numbers are scaled. The first lines are what it learns to predict."
    )
    if not columns:
        return [Section("Rows to train on", [Prose("The net gets no column.")])]
    return [Section("Rows to train on", [Table("", head, rows)], note)]


def inputs(column: Column, codes: np.ndarray, scaled: np.ndarray) -> str:
    """The net's inputs of a column in a row; those of a date with the names of its parts."""
    found = {category.name: f"{codes[category.place]}" for category in column.categories}
    for number in column.numbers:
        found[number.name] = f"{scaled[number.place]:.3f}"
        if number.flag is not None:
            found[f"{number.name}_missing"] = f"{scaled[number.flag]:.0f}"
    names = {name: name.removeprefix(column.name).strip("_").replace("_", " ") for name in found}
    return ", ".join(f"{names[name]} {value}".strip() for name, value in found.items())


def _targets(datamodule: Any, targets: np.ndarray) -> dict[str, list[tuple[str, str]]]:
    """For each target, its value in each row, and what the loss sees of it."""
    names, values = datamodule.spec["processing"]["choices"]["target"], datamodule.decoded(targets)
    if targets.ndim == 1:
        return {", ".join(names): [(str(value), str(number)) for value, number in zip(values, targets, strict=True)]}
    pairs = np.stack([values, targets], 2)
    return {name: [(f"{v:.6g}", f"{t:.3f}") for v, t in pairs[:, place]] for place, name in enumerate(names)}


def _cell(text: str, number: str) -> Markup:
    return Markup('{}<br><span class="note">{}</span>').format(shortened(text, 40), number)
