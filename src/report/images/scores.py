"""Precision, recall and F1 of each class."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from matplotlib.figure import Figure

from src.report.figures import add_legend, marker_style, name_rows, new_axes

Score = TypeVar("Score")
MAX_CLASSES, NUM_WEAKEST, NUM_BEST = 30, 20, 5


@dataclass(frozen=True)
class ClassScores:
    """Scores of one class that has images; precision is NaN if it was never predicted."""

    name: str
    precision: float
    recall: float
    f1: float
    count: int


def class_scores(counts: np.ndarray, names: list[str]) -> list[ClassScores]:
    """The classes that have images, the lowest F1 first. counts: (true classes, predicted classes)."""
    correct, predicted, own = counts.diagonal(), counts.sum(0), counts.sum(1)
    scores = []
    for place in np.flatnonzero(own):
        precision = correct[place] / predicted[place] if predicted[place] else float("nan")
        f1 = 2 * correct[place] / (predicted[place] + own[place])
        scores.append(ClassScores(names[place], precision, correct[place] / own[place], f1, int(own[place])))
    return sorted(scores, key=lambda score: score.f1)


def precision_cell(score: ClassScores) -> float | str:
    """For a table; a class that is never predicted has no precision."""
    return "none" if np.isnan(score.precision) else score.precision


def weakest_and_best(scores: list[Score]) -> list[Score]:
    """All scores, which are sorted, or only the weakest and the best if there is no room for all."""
    return scores if len(scores) <= MAX_CLASSES else [*scores[:NUM_WEAKEST], *scores[-NUM_BEST:]]


def draw_class_scores(scores: Sequence[ClassScores]) -> Figure:
    """Precision and recall of each class, joined by a line, from top to bottom."""
    figure, axes = new_axes(6.4, 0.9 + 0.24 * len(scores))
    places = range(len(scores))
    pairs = np.array([[score.precision, score.recall] for score in scores])
    axes.hlines(places, pairs.min(1), pairs.max(1), color="gray", lw=1)
    for number, label in enumerate(("precision", "recall")):
        axes.plot(pairs[:, number], places, **marker_style(number), label=label)
    name_rows(axes, [score.name for score in scores])
    axes.set_xlim(np.nanmin(pairs) - 0.03, 1.02)  # room for half a marker
    axes.set_xticks([tick for tick in axes.get_xticks() if np.nanmin(pairs) - 0.03 <= tick <= 1])
    axes.grid(axis="x", alpha=0.3)
    add_legend(axes, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    return figure
