"""Tells which columns of a table are used, and what is odd about them."""

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import pandas as pd
from pytorch_lightning.utilities import rank_zero_only
from rich.markup import escape
from rich.table import Table

from src.core.errors import named
from src.core.files import write_text
from src.core.output import note, show, show_rich, warn
from src.core.spreadsheets import as_text
from src.datamodules.tables.checks import get_columns
from src.datamodules.tables.columns import Decision, choose_columns
from src.datamodules.tables.giveaways import giveaways

WIDTH = 80  # characters
MAX_LINES = 25  # columns that are shown one by one
MAX_NAMED = 5


def decide(
    train: pd.DataFrame,
    columns: Mapping[str, list[str] | Literal["auto"]],
    apart: Sequence[str],
    date_format: str | None,
    file: Path | None,
) -> tuple[dict[str, list[str]], list[Decision]]:
    """Choose columns for each kind that is "auto", and tell them.

    Args:
        train: the training rows.
        columns: for each kind, names or "auto".
        apart: columns that "auto" does not choose, beside those of `columns`.
        date_format: of dates that are text; None means ISO 8601.
        file: where the decisions are written, see `write_decisions`.

    Returns:
        The columns of each kind, and the decisions of "auto".
    """
    chosen = {kind: [] if names == "auto" else [*names] for kind, names in columns.items()}
    automatic = [kind for kind, names in columns.items() if names == "auto"]
    if not automatic:
        return chosen, []
    apart = [*apart, *(name for names in chosen.values() for name in names)]
    get_columns(train, apart)
    decisions = choose_columns(train, apart, date_format)
    decisions = [decision for decision in decisions if decision.kind in (*automatic, "left out")]
    show_decisions(decisions, file)
    for kind in automatic:
        chosen[kind] = [decision.column for decision in decisions if decision.kind == kind]
    return chosen, decisions


def show_decisions(decisions: Sequence[Decision], file: Path | None) -> None:
    """Show what each column is used for, and why, within 80 characters; of many columns, how many there are of a kind.

    Args:
        decisions: of "auto".
        file: where all of them are written.
    """
    if len(decisions) <= MAX_LINES:
        table = Table("column", "is used as", "because of", title="columns chosen by auto")
        for decision in decisions:
            table.add_row(*map(escape, decision))
        show_rich(table, width=WIDTH)
    else:
        counts = Counter(decision.kind for decision in decisions)
        found = ", ".join(f"{count:,} {kind}" for kind, count in counts.most_common())
        left_out = named([f"{name} ({why})" for name, kind, why in decisions if kind == "left out"], MAX_NAMED)
        show(
            f"auto chose among {len(decisions):,} columns: {found}"
            + (f": {left_out}" if left_out else "")
            + (f"; {file} has each with its reason" if file else "")
        )
    texts = [decision.column for decision in decisions if decision.reason.endswith(("free text", "too rare to learn"))]
    if texts:
        note(
            f"{named(texts, MAX_NAMED)}: thousands of different texts, or sentences, are no categories, and are left "
            "out. Use a column all the same with datamodule.categorical=[...] (and datamodule.min_freq=10, say), make "
            "columns of it yourself, or learn from it alone with datamodule=text_files datamodule.column=..."
        )


def warn_of_giveaways(train: pd.DataFrame, columns: list[str], targets: list[str], task: str) -> None:
    """Warn of columns from which alone a target can be read off; see `giveaways`."""
    get_columns(train, columns)
    for target in targets:
        found = giveaways(train, columns, pd.Series(train[target]), task != "regression")
        if found:
            columns_found = named([f"{name} ({score:.3f})" for name, score in found], MAX_NAMED)
            warn(
                f"{target} can be read off {columns_found} alone (1 is without error). Is it known before {target} is? "
                f"If not, leave it out: datamodule.ignored=[{found[0][0]}]"
            )


@rank_zero_only
def write_decisions(path: Path | None, decisions: Sequence[Sequence[str]]) -> None:
    """Write a CSV with a line for each column, if there are a place and decisions."""
    if path is None or not decisions:
        return
    file = io.StringIO()
    csv.writer(file).writerows([Decision._fields, *([as_text(cell) for cell in decision] for decision in decisions)])
    write_text(path, file.getvalue())
