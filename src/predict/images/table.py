"""The table that predict.py writes about images, and the columns of those that a training held out."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from rich.markup import escape
from rich.table import Table

from src.core.files import staged
from src.core.output import show, show_rich
from src.core.spreadsheets import TextCells, own_head
from src.predict.members import spread_heads, together

NUM_SHOWN = 10
# Columns beside those of the classes or targets, by task.
LEADING = {"classification": ["path", "label"], "multilabel": ["path", "labels"], "regression": ["path"]}
MAX_COLUMNS = 8  # that are shown
BETWEEN = ";"  # several labels of an image


def write_table(output: Path, spec: Mapping[str, Any], rows: Iterable[tuple[str, np.ndarray]], members: int = 1) -> int:
    """Write a row for each image, whole or not at all; returns the number of rows.

    After its path come, by task: its class and the probability of each class; its labels, with ; between them, and the
    probability of each label; the value of each target. A class named like another column gets a name of its own, which
    is told. Last comes the spread of several models, see `together`.

    Args:
        output: a CSV file.
        spec: of the model.
        rows: path and answers of each image, ([models,] classes or targets).
        members: the number of models.
    """
    count, cells = 0, TextCells()
    names, leading = spec["class_names"], LEADING[_task(spec)]
    has_label = _task(spec) == "classification"
    spread = spread_heads(members, names, has_label)
    with staged(output) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        heads = (own_head(name, names, [*leading, *spread]) for name in names)
        writer.writerow(cells.row([*leading, *heads, *spread]))
        for path, answers in rows:
            means, spreads = together(answers.reshape(members, 1, -1), has_label)
            writer.writerow(cells.row([path, *_cells(means[0], spec), *map(str, spreads[0])]))
            count += 1
    cells.tell(output)
    return count


def mean_thresholds(specs: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """The mean over models of the thresholds of each label, for a spec; {} if none has any."""
    if not any("thresholds" in spec for spec in specs):
        return {}
    of_all = [np.broadcast_to(spec.get("thresholds", 0.5), len(spec["class_names"])) for spec in specs]
    return {"thresholds": np.mean(of_all, 0).tolist()}


def _task(spec: Mapping[str, Any]) -> str:
    return spec.get("task", "classification")


def _cells(answer: np.ndarray, spec: Mapping[str, Any]) -> list[str]:
    """What a row says beside the path."""
    names, task = spec["class_names"], _task(spec)
    if task == "regression":
        return [str(value) for value in answer]  # all digits of a float32
    shares = [f"{share:.6f}" for share in answer]
    if task == "classification":
        return [names[answer.argmax()], *shares]
    chosen = answer >= np.array(spec.get("thresholds", 0.5), np.float32)
    return [_joined(chosen, names), *shares]


def show_table(output: Path, count: int, spec: Mapping[str, Any]) -> None:
    """Show the first rows, of classes with the probability of the chosen one, and how many rows there are."""
    with output.open(newline="", encoding="utf-8") as file:
        head, *rows = islice(csv.reader(file), NUM_SHOWN + 1)
    width = {"classification": 2, "multilabel": 2, "regression": MAX_COLUMNS}[_task(spec)]
    has_one = _task(spec) == "classification"
    table = Table(*map(escape, head[:width]), *["probability"] * has_one)
    for row in rows:
        table.add_row(
            *map(escape, row[:width]), *[f"{max(map(float, row[2 : 2 + len(spec['class_names'])])):.3f}"] * has_one
        )
    if count:
        show_rich(table)
    show(f"{count} predictions in {output}")


def answered(model: Any, batch: Sequence[Any]) -> dict[str, Sequence[Any]]:
    """The true labels or numbers of a batch, and beside them what `write_table` writes, with the model's own views."""
    images, labels = batch
    spec, known = model.hparams["spec"], labels.cpu().numpy()
    names, task = spec["class_names"], _task(spec)
    rows = [_cells(row, spec) for row in model.predict(images, model.flip_tta, model.crop_tta).cpu().numpy()]
    if task == "regression":
        true = {f"true {name}": column for name, column in zip(names, known.T, strict=True)}
    elif task == "multilabel":
        true = {"true labels": [_joined(row, names) for row in known]}
    else:
        true = {"true label": [names[number] for number in known]}
    leading = LEADING[task][1:]
    heads = [*leading, *(own_head(name, names, ["row", "path", *true, *leading]) for name in names)]
    return {**true, **dict(zip(heads, zip(*rows, strict=True), strict=True))}


def _joined(chosen: Iterable[Any], names: list[str]) -> str:
    return BETWEEN.join(name for name, is_chosen in zip(names, chosen, strict=True) if is_chosen)
