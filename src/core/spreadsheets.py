"""Text in CSVs that a spreadsheet would take for a formula, and run: it gets a ' in front, and is shown as text."""

import re
from collections.abc import Collection, Iterable

from src.core.output import note

# The last four are the same signs in Japanese type. A cell that has a ' already gets another: so it can be undone.
FORMULA = r"^'*[=+\-@\t\r\n＝＋－＠]"  # noqa: RUF001
NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"


def is_formula(cell: object) -> bool:
    """Whether a spreadsheet could take a cell for a formula; a number, also one that is text, is not one."""
    return isinstance(cell, str) and bool(re.match(FORMULA, cell)) and not re.fullmatch(NUMBER, cell)


def as_text(cell: object) -> object:
    """The cell, with a ' in front if it could be taken for a formula."""
    return f"'{cell}" if is_formula(cell) else cell


class TextCells:
    """Writes rows so that text stays text, and counts the cells that it changed."""

    def __init__(self) -> None:
        self.changed = 0

    def row(self, cells: Iterable[object]) -> list[object]:
        """The row to write."""
        cells = list(cells)
        self.changed += sum(map(is_formula, cells))
        return [as_text(cell) for cell in cells]

    def tell(self, output: object) -> None:
        """Note how many cells differ from what was to be written, if any do."""
        if self.changed:
            note(
                f"{self.changed:,} cells of {output} begin with = + - or @ and got a ' in front, so that spreadsheets "
                "do not run them; docs/usage.md says how to take it away"
            )


def own_head(name: str, names: Collection[str], leading: Collection[str]) -> str:
    """A class's name as the name of a column, which no other column has.

    Args:
        name: of the class, label or target.
        names: of all of them.
        leading: the other columns.
    """
    head = name
    while head in leading or (head != name and head in names):
        head = f"{head} (class)"
    if head != name:
        note(f"the column of class {name} is called {head}, because {name} is another column")
    return head
