"""Tables in Markdown."""

from collections.abc import Iterable, Sequence
from typing import Any


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[Any]], *, aligned: bool = False) -> str:
    """Write a table; numbers get three digits.

    Args:
        head: the names of the columns.
        rows: the cells of each row, as many as there are columns.
        aligned: pad the cells, for a reader on a terminal.
    """
    lines = [[*head], *([with_three_digits(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) if aligned else 0 for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * max(width, 3) for width in widths])
    return "\n".join(f"| {' | '.join(map(str.ljust, line, widths))} |" for line in lines)


def with_three_digits(cell: Any) -> str:
    """Write a number as 1,234 or 0.00123, anything else as it is."""
    if not isinstance(cell, int | float):
        return str(cell)
    return f"{cell:,.0f}" if isinstance(cell, int) or abs(cell) >= 100 else f"{cell:.3g}"
