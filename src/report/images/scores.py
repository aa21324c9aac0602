"""Precision, recall and F1 of each class."""

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from src.report.figures import marker_style, new_figure, without_box

MOST_ROWS, NUM_WEAKEST, NUM_BEST = 30, 20, 5


@dataclass(frozen=True)
class ClassScores:
    """Scores of one class that has pictures; precision is NaN if it was never predicted."""

    name: str
    precision: float
    recall: float
    f1: float
    count: int


def class_scores(counts: np.ndarray, names: list[str]) -> list[ClassScores]:
    """The classes that have pictures, the weakest (by F1) first. counts: (true classes, predicted classes)."""
    right, predicted, own = counts.diagonal(), counts.sum(0), counts.sum(1)
    scores = []
    for place in np.flatnonzero(own):
        precision = right[place] / predicted[place] if predicted[place] else float("nan")
        f1 = 2 * right[place] / (predicted[place] + own[place])
        scores.append(ClassScores(names[place], precision, right[place] / own[place], f1, int(own[place])))
    return sorted(scores, key=lambda score: score.f1)


def shown(scores: list[ClassScores]) -> list[ClassScores]:
    """All, or, of more than fit, the weakest and the best."""
    return scores if len(scores) <= MOST_ROWS else [*scores[:NUM_WEAKEST], *scores[-NUM_BEST:]]


def draw_scores(scores: list[ClassScores]) -> Figure:
    """Precision and recall of each class, joined by a line, from top to bottom."""
    figure = new_figure(6.4, 0.9 + 0.24 * len(scores))
    figure.set_layout_engine("constrained")
    axes = figure.add_subplot()
    places = range(len(scores))
    pairs = np.array([[score.precision, score.recall] for score in scores])
    axes.hlines(places, pairs.min(1), pairs.max(1), color="gray", lw=1)
    for number, label in enumerate(("precision", "recall")):
        axes.plot(pairs[:, number], places, **marker_style(number), label=label)
    axes.set_yticks(places, [score.name for score in scores])
    axes.set(xlim=(np.nanmin(pairs) - 0.03, 1.02), ylim=(len(scores) - 0.5, -0.5))
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False)
    without_box(axes)
    return figure
