"""What a report says of a table's net."""

from typing import Any

import numpy as np
import pytorch_lightning as pl

from src.report.parts import Part, Picture, Prose, Section, Table
from src.report.rows import split_of
from src.report.tables.columns import FIRST_KNOWN, Category, Column, columns_of
from src.report.tables.dependence import MOST_TARGETS, dependence_on, draw_dependence
from src.report.tables.importance import NUM_SHUFFLES, Importance, draw_importances, importances_of
from src.report.tables.map import draw_map
from src.report.tables.net import TableNet, TableRows, read_rows
from src.report.tables.outcomes import class_pictures, value_pictures
from src.report.tables.worst import worst_rows

MOST_BARS = 25
MOST_SHOWN = 30  # columns of the worst rows


class TableView:
    """What the net goes by, what it has learned of categories, how far to trust it, and its worst rows.

    The model is a TabularModel, or what TableNet needs of one; maps are of `net.embedding.vectors(column)`.
    max_rows: of a larger split, evenly spread rows; max_shuffled: of them, those that it is asked about again and again
    with one column changed.  num_columns: the strongest ones, whose effect is drawn.  num_maps: of categories' vectors.
    num_rows: the worst ones.
    """

    def __init__(self, *, max_rows: int, max_shuffled: int, num_columns: int, num_maps: int, num_rows: int) -> None:
        """Raises ValueError if a number is negative, or there are no rows to look at."""
        if min(max_rows, max_shuffled) < 1 or min(num_columns, num_maps, num_rows) < 0:
            raise ValueError(
                "a view of a table needs rows to look at, and no negative number, got "
                f"{max_rows=}, {max_shuffled=}, {num_columns=}, {num_maps=}, {num_rows=}"
            )
        self.max_rows = max_rows
        self.max_shuffled = max_shuffled
        self.num_columns = num_columns
        self.num_maps = num_maps
        self.num_rows = num_rows

    def sections(self, model: pl.LightningModule, datamodule: pl.LightningDataModule) -> list[Section]:
        net, columns = TableNet(model), columns_of(model.hparams["spec"]["processing"])
        rows, total = read_rows(datamodule, self.max_rows)
        split = {"test": "test", "val": "validation"}[split_of(datamodule)]
        some = rows.evenly(self.max_shuffled)
        importances = importances_of(net, columns, some)
        ordered = [importance.column for importance in importances]
        whole = _of_rows(len(rows), total, split)
        found = [
            Section(
                "What the net goes by",
                [_importance(importances, net, some), *self._dependences(net, ordered[: self.num_columns], some)],
                _of_rows(len(some), total, split),
            ),
            Section(
                "Categories on a map",
                self._maps(model, ordered, rows),
                "For each category the net has learned a vector. Categories that it treats alike lie close; nothing "
                "told it to. Look for groups that you know: regions, seasons, makes.",
            ),
            Section("How far to trust it", (value_pictures if net.is_regression else class_pictures)(net, rows), whole),
            Section("The rows it gets most wrong", [self._worst(net, rows, ordered)], whole),
        ]
        return [section for section in found if section.parts]

    def _dependences(self, net: TableNet, columns: list[Column], rows: TableRows) -> list[Part]:
        if not columns:
            return []
        note = (
            "What the net would say if a column had the same value in all rows, and all else stayed as it is: the mean "
            "and, below or beside it, where the rows lie."
        )
        if net.is_regression or net.is_binary:
            note += (
                " Thin lines are single rows; where they cross, another column decides what this one does. Light bars "
                "hold eight of ten rows."
            )
        note += (
            " Where there are few rows it is a guess. It is what the net goes by, and need not be a cause. Of numbers, "
            "one percent at either end is left out."
        )
        if net.is_regression and len(net.names) > MOST_TARGETS:
            note += f" The first {MOST_TARGETS} of {len(net.names)} targets are shown."
        return [Prose(note, "What the strongest columns do"), *(_dependence(net, column, rows) for column in columns)]

    def _maps(self, model: Any, columns: list[Column], rows: TableRows) -> list[Part]:
        embedding = getattr(model.net, "embedding", None)
        categories = [category for column in columns for category in column.categories]
        if not hasattr(embedding, "vectors") or not categories:
            return []
        many = [category for category in categories if len(category.texts) - FIRST_KNOWN > 2]
        parts = [_map(category, model, rows) for category in many[: self.num_maps]]
        left_out = [category.name for category in categories if category not in many[: self.num_maps]]
        if parts and left_out:
            parts.append(
                Prose(f"Without a map, having two categories or mattering less to the net: {', '.join(left_out)}.")
            )
        return parts

    def _worst(self, net: TableNet, rows: TableRows, columns: list[Column]) -> Part:
        head, table = worst_rows(net, rows, net.losses(rows), columns[:MOST_SHOWN], self.num_rows)
        note = (
            "The highest losses first, with the columns as the table has them, those that matter most first. Is the "
            "target wrong, is a value odd, or would you have been mistaken, too? Something that these rows share, and "
            "no column says, is worth a new column. The number of a row is its place in the split, from 1."
        )
        if len(columns) > MOST_SHOWN:
            note += f" {MOST_SHOWN} of {len(columns)} columns are shown."
        return Table("Worst rows", head, table, note)


def _of_rows(looked_at: int, total: int, split: str) -> str:
    if looked_at == total:
        return f"All {total:,} {split} rows."
    return f"{looked_at:,} of {total:,} {split} rows, evenly spread."


def _importance(importances: list[Importance], net: TableNet, rows: TableRows) -> Part:
    shown = importances[:MOST_BARS]
    loss = net.losses(rows).mean()
    strongest = ", ".join(f"{importance.column.name} ({importance.rise:.3g})" for importance in shown[:3])
    kind = "of the scaled targets" if net.is_regression else "log loss"
    note = (
        f"Each column is shuffled among the rows, {NUM_SHUFFLES} times, so that it tells nothing any more: its bar is "
        f"how much the loss ({kind}, {loss:.3g} as it is) rises by that, the line one standard deviation. Bars near 0: "
        "the net does not use the column. Of columns that say the same each may look weak, the net having the other. "
        "A column that seems too strong may know the target: is it known at the time of the prediction?"
    )
    dates = [importance.column.name for importance in shown if importance.column.is_date]
    if dates:
        note += f" The parts of a date ({', '.join(dates)}) are shuffled together."
    if len(importances) > MOST_BARS:
        note += f" {len(importances) - MOST_BARS} weaker columns of {len(importances)} are left out."
    return Picture(
        "Importance of each column", draw_importances(shown), f"How much the loss rises by column: {strongest}", note
    )


def _dependence(net: TableNet, column: Column, rows: TableRows) -> Part:
    found = dependence_on(net, column, rows)
    means = found.predictions.mean(1)[:, 1 if net.is_binary else 0]
    lowest, highest = (
        f"{means[place]:.4g} at {value if isinstance(value, str) else f'{value:.4g}'}"
        for place in (means.argmin(), means.argmax())
        for value in [found.values[place]]
    )
    alt = f"Mean prediction by {found.part.name}: lowest, {lowest}; highest, {highest}"
    shown, there = len(found.values), len(found.part.texts) if isinstance(found.part, Category) else 0
    note = f"The {shown} most frequent of its categories." if shown < there - FIRST_KNOWN else ""
    return Picture(found.part.name, draw_dependence(found, net), alt, note)


def _map(category: Category, model: Any, rows: TableRows) -> Part:
    codes = rows.categories[:, category.place].cpu().numpy()
    counts = np.bincount(codes, minlength=len(category.texts))
    vectors = model.net.embedding.vectors(category.place).detach().cpu().float().numpy()
    drawn = draw_map(category, vectors, counts)
    known = len(category.texts) - FIRST_KNOWN
    if drawn.explained is None:
        note = (
            f"t-SNE of {vectors.shape[1]} dimensions: neighbours are alike, but distances and directions say nothing."
        )
    else:
        note = (
            f"Principal components of {vectors.shape[1]} dimensions; these two explain {drawn.explained:.0%} of the "
            "variance: the less, the less the distances here say."
        )
    note += " Larger dots are more frequent."
    if drawn.shown < known:
        note += f" The {drawn.shown} most frequent of {known:,} categories."
    if drawn.named < drawn.shown:
        note += f" {drawn.named} found a place for their name, the most frequent first."
    alt = f"Map of {drawn.shown} categories of {category.name} in two dimensions"
    return Picture(category.name, drawn.figure, alt, note)
