"""What a report shows of a model that gives images numbers."""

from typing import Any

import numpy as np
import pytorch_lightning as pl
from sklearn.metrics import r2_score

from src.report.images.examples import MAX_NAME_LENGTH, diverged, examples
from src.report.images.outcomes import Answers, answers_of, images_at
from src.report.parts import Part, Plot, Section, Table
from src.report.rows import rows_note
from src.report.values import plots_of_values
from src.report.wording import shortened

MAX_TARGETS = 8  # with plots


def number_sections(model: Any, datamodule: pl.LightningDataModule, max_rows: int, num_images: int) -> list[Section]:
    """Predicted against true values, residuals, and the images that are furthest off.

    Args:
        model: maps images to scaled values; its spec has the names of the targets, its `task` the answers.
        datamodule: its data, set up.
        max_rows, num_images: as in ImageView.
    """
    names = [str(name) for name in model.hparams["spec"]["class_names"]]
    found = answers_of(model, datamodule, max_rows)
    if found.broken:
        return [diverged("Predicted and true", found.broken, len(found.rows))]
    order = np.argsort(-found.losses, kind="stable")
    hardest, best = order[:num_images], order[::-1][: -(-num_images // 2)]
    images = images_at(datamodule, found.rows[[*hardest, *best]].tolist())
    note = f"{rows_note(datamodule, len(found.rows), found.total, 'images')}."
    grids = _grids(model, found, names, (hardest, best), images)
    return [
        Section("Predicted and true", [_scores(found, names), *_plots(found, names)], note),
        Section("Images that are furthest off, and nearest", grids, note),
    ]


def _scores(found: Answers, names: list[str]) -> Table:
    errors = found.answers - found.labels
    columns = np.sqrt((errors**2).mean(0)), np.abs(errors).mean(0), errors.mean(0), found.labels.std(0)
    shares = [
        r2_score(*pair) if len(errors) > 1 else None for pair in zip(found.labels.T, found.answers.T, strict=True)
    ]
    rows = [(name, share, *numbers) for name, share, *numbers in zip(names, shares, *columns, strict=True)]
    return Table(
        "Each target",
        ("target", "R2", "RMSE", "MAE", "mean error", "standard deviation"),
        rows,
        "R2 is the explained share of the variance, 1 at best; 0 is the mean for every image. RMSE is the root of the "
        "mean squared error, MAE the mean absolute error: compare them with the standard deviation of the true values. "
        "A mean error far from 0: all answers are too high, or too low.",
    )


def _plots(found: Answers, names: list[str]) -> list[Part]:
    causes = "the images say too little about it, or the training was too short"
    widening = "Learn the logarithm of the target instead, if a tenth off matters as much for a small value as a large."
    columns = list(zip(names, found.answers.T, found.labels.T, strict=True))
    return [
        plot
        for name, predicted, true in columns[:MAX_TARGETS]
        for plot in plots_of_values(name, predicted, true, "images", causes, widening)
    ]


def _grids(
    model: Any, found: Answers, names: list[str], chosen: tuple[np.ndarray, np.ndarray], images: dict[int, Any]
) -> list[Plot]:
    off = np.abs(found.answers - found.labels) / np.maximum(found.labels.std(0), 1e-300)
    parts: list[Plot] = []
    for title, places, note, question in (
        (
            "Highest losses",
            chosen[0],
            "Above each image: the target that is furthest off, its true value, and the prediction. Is the value "
            "wrong, the image unusual, or the net not used to such values?",
            "Right: what raises the prediction (Grad-CAM, coarse). Orange counts most; the line encloses the hottest "
            "quarter.",
        ),
        ("Lowest losses", chosen[1], "For comparison.", ""),
    ):
        targets = off[places].argmax(1)
        captions = [_caption(found, place, target, names) for place, target in zip(places, targets, strict=True)]
        shown = [images[row] for row in found.rows[places].tolist()]
        parts += examples(model, title, shown, targets, captions, note, question)
    return parts


def _caption(found: Answers, place: int, target: int, names: list[str]) -> str:
    name = shortened(names[target], MAX_NAME_LENGTH)
    return f"{name} {found.labels[place, target]:.4g}\npredicted {found.answers[place, target]:.4g}"
