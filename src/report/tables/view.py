"""What a report shows of a table's net."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as pl

from src.report.parts import Part, Plot, Prose, Section, Table
from src.report.rows import rows_note
from src.report.tables.baselines import comparison
from src.report.tables.biases import bias_tables, has_biases
from src.report.tables.columns import FIRST_KNOWN, Category, Column, table_columns
from src.report.tables.dependence import MAX_PANELS, dependence_on, draw_dependence
from src.report.tables.importance import NUM_SHUFFLES, Importance, affordable, draw_importances, importances_of
from src.report.tables.map import draw_category_map
from src.report.tables.net import TableNet, TableRows, read_rows
from src.report.tables.outcomes import class_plots, value_plots
from src.report.tables.worst import names_of, worst_rows

MAX_BARS = 25
MAX_COLUMNS = 30  # of the worst rows


@dataclass(frozen=True, kw_only=True)
class TableView:
    """The net beside simple models, which columns matter, what it has learned, how far to trust it, and its worst rows.

    The model is a TabularModel, or what TableNet needs of one; maps show `net.embedding.vectors(column)`.

    Attributes:
        max_rows: how many rows it looks at; they are evenly spread over a larger split.
        max_shuffled: how many of these it asks about with one column changed.
        num_columns: how many of the strongest columns get a plot of their effect.
        num_maps: how many columns get a map of their categories.
        num_rows: how many of the worst rows it lists.
    """

    max_rows: int
    max_shuffled: int
    num_columns: int
    num_maps: int
    num_rows: int

    def __post_init__(self) -> None:
        if min(self.max_rows, self.max_shuffled) < 1 or min(self.num_columns, self.num_maps, self.num_rows) < 0:
            raise ValueError(f"a view of a table needs at least one row, and no negative number, got {self}")

    def sections(self, model: pl.LightningModule, datamodule: pl.LightningDataModule) -> list[Section]:
        net, columns = TableNet(model), table_columns(model.hparams["spec"]["processing"])
        rows, total = read_rows(datamodule, self.max_rows)
        some = rows.evenly(self.max_shuffled)
        chosen, others, num_rows = affordable(net, columns, some)
        importances = importances_of(net, chosen, some.evenly(num_rows))
        ordered = [*(importance.column for importance in importances), *others]
        all_note, some_note = (f"{rows_note(datamodule, len(these), total, 'rows')}." for these in (rows, some))
        effects = _effects(net, ordered[: self.num_columns], some)
        found = [
            Section("Is it worth a net?", comparison(net, datamodule, rows), all_note),
            Section(
                "Which columns matter",
                [_importance(importances, len(others), net, some.evenly(num_rows)), *effects],
                some_note,
            ),
            Section(
                "Categories on a map",
                self._maps(model, ordered, rows),
                "The net has learned a vector for each category. Categories that it treats alike lie close together. "
                "Look for groups that you know, such as regions or seasons: nobody told the net about them.",
            ),
            Section(
                "Liked and disliked",
                bias_tables(model.net, ordered),
                "The bias of a category is what it adds to the answer, whatever it meets: a film of a high bias is "
                "liked also by those whom its kind does not suit. Biases are small where there are few rows.",
            ),
            Section("How far to trust it", (value_plots if net.is_regression else class_plots)(net, rows), all_note),
            Section("The worst rows", [self._worst(net, rows, ordered, names_of(datamodule))], all_note),
        ]
        return [section for section in found if section.parts]

    def _maps(self, model: Any, columns: list[Column], rows: TableRows) -> list[Part]:
        embedding = getattr(model.net, "embedding", None)
        categories = [category for column in columns for category in column.categories]
        if not hasattr(embedding, "vectors") or not categories:
            return []
        mapped = [category for category in categories if len(category.texts) - FIRST_KNOWN > 2][: self.num_maps]
        parts = [_map(category, model, rows) for category in mapped]
        left_out = [category.name for category in categories if category not in mapped]
        if parts and left_out:
            text = "Without a map, as they have two categories or matter less: " + ", ".join(left_out)
            parts.append(Prose(f"{text}."))
        return parts

    def _worst(
        self, net: TableNet, rows: TableRows, columns: list[Column], names: dict[str, Sequence[Any]] | None
    ) -> Part:
        head, table = worst_rows(net, rows, net.losses(rows), columns[:MAX_COLUMNS], self.num_rows, names)
        note = (
            "The columns that matter most come first. Is the target wrong, is a value odd, or "
            "would you have been wrong as well? If these rows share something that no column says, add a column for "
            f"it. Rows are numbered from 1 in the order of the {'split' if names is None else 'table'}."
        )
        if len(columns) > MAX_COLUMNS:
            note += f" The table shows {MAX_COLUMNS} of {len(columns)} columns."
        return Table("Sorted by loss", head, table, note)


def _importance(importances: list[Importance], num_others: int, net: TableNet, rows: TableRows) -> Part:
    shown = importances[:MAX_BARS]
    loss = net.losses(rows).mean()
    strongest = ", ".join(f"{importance.column.name} ({importance.rise:.3g})" for importance in shown[:3])
    kind = "of the scaled targets" if net.is_regression else "log loss"
    note = (
        f"Each column is shuffled among the rows {NUM_SHUFFLES} times, which destroys its information. Its bar shows "
        f"how much the loss ({kind}, {loss:.3g} before) rises, its line one standard deviation. A bar near 0: the net "
        "does not use the column. Columns that say the same may all look weak, because the net has the others. If a "
        "column looks too strong, ask whether its value is known before the target is."
    )
    dates = [importance.column.name for importance in shown if importance.column.is_date]
    if dates:
        note += f" The parts of a date ({', '.join(dates)}) are shuffled together."
    if len(importances) > MAX_BARS:
        note += f" The {len(importances) - MAX_BARS} weakest of {len(importances)} columns are left out."
    if num_others:
        note += (
            f" To keep the report short, these columns were shuffled in {len(rows)} rows, and {num_others:,} others, "
            "which by themselves have less to do with the predictions, were not."
        )
    return Plot(
        "Importance of each column", draw_importances(shown), f"How much the loss rises by column: {strongest}", note
    )


def _effects(net: TableNet, columns: list[Column], rows: TableRows) -> list[Part]:
    if not columns:
        return []
    note = (
        "The mean prediction if a column had the same value in all rows and the other columns stayed as they are. "
        "Beside or below it you see where the rows lie: where there are few, the prediction is a guess."
    )
    if net.is_regression or net.is_binary:
        note += (
            " Thin lines are single rows; where they cross, the effect depends on another column. Light bars hold "
            "eight of ten rows."
        )
    note += " An effect on the prediction need not be a cause. Of numbers, the lowest and highest 1% are left out."
    if net.is_regression and len(net.names) > MAX_PANELS:
        note += f" The plots show the first {MAX_PANELS} of {len(net.names)} targets."
    return [Prose(note, "Effect of the strongest columns"), *(_dependence(net, column, rows) for column in columns)]


def _dependence(net: TableNet, column: Column, rows: TableRows) -> Part:
    found = dependence_on(net, column, rows)
    means = found.predictions.mean(1)[:, 1 if net.is_binary else 0]
    lowest, highest = (
        f"{means[place]:.4g} at {value if isinstance(value, str) else f'{value:.4g}'}"
        for place in (means.argmin(), means.argmax())
        for value in [found.values[place]]
    )
    alt = f"Mean prediction by {found.part.name}: lowest, {lowest}; highest, {highest}"
    shown, known = len(found.values), len(found.part.texts) - FIRST_KNOWN if isinstance(found.part, Category) else 0
    note = f"Its {shown} most frequent categories." if shown < known else ""
    return Plot(found.part.name, draw_dependence(found, net), alt, note)


def _map(category: Category, model: Any, rows: TableRows) -> Part:
    codes = rows.categories[:, category.place].cpu().numpy()
    counts = np.bincount(codes, minlength=len(category.texts))
    vectors = model.net.embedding.vectors(category.place).detach().cpu().float().numpy()
    # Vectors that are multiplied by others have axes that mean something: tastes, as in fast.ai's course.
    drawn = draw_category_map(category, vectors, counts, by_pca=has_biases(model.net))
    known = len(category.texts) - FIRST_KNOWN
    if drawn.explained is None:
        note = f"t-SNE of {vectors.shape[1]} dimensions: only neighbours count, not distances and directions."
    else:
        note = (
            f"The first two principal components of {vectors.shape[1]} dimensions explain {drawn.explained:.0%} of the "
            "variance: the lower this share, the less the distances mean."
        )
    note += " Larger dots are more frequent categories."
    if drawn.shown < known:
        note += f" The map shows the {drawn.shown} most frequent of {known:,} categories."
    if drawn.named < drawn.shown:
        note += f" {drawn.named} of them have room for a name."
    alt = f"Map of {drawn.shown} categories of {category.name} in two dimensions"
    return Plot(category.name, drawn.figure, alt, note)
