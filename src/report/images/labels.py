"""What a report shows of a model that gives images several labels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as pl
from sklearn.metrics import average_precision_score

from src.core.errors import named
from src.report.calibration import reliability_plot
from src.report.images.examples import MAX_NAME_LENGTH, diverged, examples
from src.report.images.grid import as_markup, as_pixels
from src.report.images.outcomes import Answers, advice_for, answers_of, images_at
from src.report.images.scores import ClassScores, draw_class_scores, precision_cell, weakest_and_best
from src.report.parts import Part, Plot, Prose, Section, Table
from src.report.rows import rows_note
from src.report.wording import shortened


@dataclass(frozen=True)
class LabelScores(ClassScores):
    """Scores of one label that some image has; precision is NaN if no image gets it."""

    average_precision: float
    threshold: float


def label_sections(
    model: Any, datamodule: pl.LightningDataModule, max_rows: int, num_images: int, num_pairs: int
) -> list[Section]:
    """Scores by label, which labels are missed and added, the images with the highest losses, calibration.

    Args:
        model: maps images to logits of the labels; its spec has their names, its `task` the thresholds.
        datamodule: its data, set up.
        max_rows, num_images, num_pairs: as in ImageView.
    """
    names = [str(name) for name in model.hparams["spec"]["class_names"]]
    found = answers_of(model, datamodule, max_rows)
    if found.broken:
        return [diverged("Scores by label", found.broken, len(found.rows))]
    present = found.labels > 0
    predicted = found.answers >= np.array(model.task.thresholds, np.float32)
    order = np.argsort(-found.losses, kind="stable")
    hardest, best = order[:num_images], order[::-1][: -(-num_images // 2)]
    pairs = _swaps(present, predicted, found.losses)[:num_pairs]
    images = images_at(datamodule, found.rows[[*hardest, *best, *(pair[3] for pair in pairs)]].tolist())
    note = f"{rows_note(datamodule, len(found.rows), found.total, 'images')}."
    scores = label_scores(found, present, predicted, model.task.thresholds, names)
    shown = _Shown(model, names, found, present, predicted, images)
    return [
        Section("Scores by label", _score_parts(scores, names), note),
        Section("Which labels it misses and adds", _error_parts(shown, pairs), note),
        Section("Hardest and easiest images", [*shown.hardest(hardest), *shown.easiest(best)], note),
        Section("Can its probabilities be trusted?", [_reliability(found)], note),
    ]


def label_scores(
    found: Answers, present: np.ndarray, predicted: np.ndarray, thresholds: list[float], names: list[str]
) -> list[LabelScores]:
    """The labels that some image has, the lowest F1 first.

    Args:
        found: the answers for the images.
        present, predicted: (images, labels), which labels each has and gets.
        thresholds, names: of the labels.
    """
    scores = []
    for place in np.flatnonzero(present.any(0)):
        own, chosen = present[:, place], predicted[:, place]
        hits = (own & chosen).sum()
        scores.append(
            LabelScores(
                names[place],
                precision=hits / chosen.sum() if chosen.any() else float("nan"),
                recall=hits / own.sum(),
                f1=2 * hits / (own.sum() + chosen.sum()),
                count=int(own.sum()),
                average_precision=float(average_precision_score(own, found.answers[:, place])),
                threshold=thresholds[place],
            )
        )
    return sorted(scores, key=lambda score: score.f1)


def _score_parts(scores: list[LabelScores], names: list[str]) -> list[Part]:
    shown = weakest_and_best(scores)
    note = (
        "The weakest labels come first. Average precision does not depend on the threshold: it is 1 if every image "
        "that has the label gets a higher probability than all others, and by guessing the label's share of the "
        "images. An image gets the label if its probability reaches the threshold, which the validation images have "
        "chosen for the highest F1."
    )
    if len(shown) < len(scores):
        note += f" The table shows only the weakest and the best of {len(scores)} labels."
    known = {score.name for score in scores}
    if absent := [name for name in names if name not in known]:
        note += f" No image here has {named(absent)}."
    if not scores:
        return [Prose(note)]
    return [
        Plot(
            "Precision and recall",
            draw_class_scores(shown),
            f"Precision and recall of {len(shown)} labels; the weakest is {shown[0].name}, with an F1 of "
            f"{shown[0].f1:.3f}",
            "Precision: the share of the images that get this label and have it. Recall: the share of the images with "
            "this label that get it. If precision is far below recall, the net gives the label too often; if far "
            "above, too seldom.",
        ),
        Table(
            "Each label",
            ("label", "average precision", "F1", "precision", "recall", "threshold", "images"),
            [(s.name, s.average_precision, s.f1, precision_cell(s), s.recall, s.threshold, s.count) for s in shown],
            note,
        ),
    ]


def _swaps(present: np.ndarray, predicted: np.ndarray, losses: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Label that is missed, label that is added in the same image, how many times, the worst such image."""
    missed, added = present & ~predicted, predicted & ~present
    counts = missed.T.astype(int) @ added.astype(int)
    order = np.argsort(-counts, axis=None, kind="stable")[: np.count_nonzero(counts)]
    found = []
    for place in order.tolist():
        one, other = divmod(place, counts.shape[1])
        images = np.flatnonzero(missed[:, one] & added[:, other])
        found.append((one, other, int(counts[one, other]), int(images[losses[images].argmax()])))
    return found


class _Shown:
    """The parts that show single images."""

    def __init__(
        self,
        model: Any,
        names: list[str],
        found: Answers,
        present: np.ndarray,
        predicted: np.ndarray,
        images: dict[int, Any],
    ) -> None:
        self.model, self.names, self.found = model, names, found
        self.present, self.predicted, self.images = present, predicted, images

    def hardest(self, places: np.ndarray) -> list[Plot]:
        """With the label that costs the most in each."""
        costs = np.abs(self.found.labels - self.found.answers)[places].argmax(1)
        return self._grid(
            "Highest losses",
            places,
            costs,
            "Above each image: its labels, the predicted ones, and the label whose probability is furthest off. Is a "
            "label missing or wrong, or is the object small or hidden?",
            "Right: what speaks for that label (Grad-CAM, coarse). Orange counts most; the line encloses the hottest "
            "quarter.",
        )

    def easiest(self, places: np.ndarray) -> list[Plot]:
        """With the most probable label of each."""
        return self._grid("Lowest losses", places, self.found.answers[places].argmax(1), "For comparison.", "")

    def _grid(self, title: str, places: np.ndarray, outputs: np.ndarray, note: str, question: str) -> list[Plot]:
        images = [self.images[row] for row in self.found.rows[places].tolist()]
        captions = [self._caption(*pair) for pair in zip(places.tolist(), outputs.tolist(), strict=True)]
        return examples(self.model, title, images, outputs, captions, note, question)

    def _caption(self, place: int, output: int) -> str:
        true, predicted = (self._joined(which[place]) for which in (self.present, self.predicted))
        name = shortened(self.names[output], MAX_NAME_LENGTH)
        return f"{true}\npredicted {predicted}\n{name} {self.found.answers[place, output]:.1%}"

    def _joined(self, which: np.ndarray) -> str:
        names = [self.names[place] for place in np.flatnonzero(which)]
        return shortened(", ".join(names) or "none", 2 * MAX_NAME_LENGTH)

    def image(self, place: int, alt: str) -> Any:
        """A small image for a table."""
        return as_markup(as_pixels(self.images[int(self.found.rows[place])][None])[0], alt)


def _error_parts(shown: _Shown, pairs: list[tuple[int, int, int, int]]) -> list[Part]:
    names, present, predicted = shown.names, shown.present, shown.predicted
    outcomes = (present & predicted, present & ~predicted, ~present & predicted, ~present & ~predicted)
    counts = zip(names, *(which.sum(0).tolist() for which in outcomes), strict=True)
    rows = weakest_and_best(sorted(counts, key=lambda row: -row[2] - row[3]))
    right = int((present == predicted).all(1).sum())
    parts: list[Part] = [
        Table(
            "Right and wrong of each label",
            ("label", "found", "missed", "added", "rightly left out"),
            rows,
            f"The labels with the most errors come first. {right} of {len(present)} images have exactly their labels. "
            "Missed: images with the label that do not get it. Added: images that get it and do not have it.",
        )
    ]
    if pairs:
        swapped = [
            (shown.image(example, f"{names[one]} missed and {names[other]} added"), names[one], names[other], count)
            for one, other, count, example in pairs
        ]
        note = "One label is missed and another is added in the same image: the net may take the one for the other."
        parts.append(Table("Most confused", ("example", "missed", "added", "images"), swapped, note))
    return parts


def _reliability(found: Answers) -> Plot:
    probabilities, is_true = found.answers.ravel().astype(np.float32), found.labels.ravel() > 0
    advice = advice_for(np.maximum(probabilities, 1 - probabilities), is_true == (probabilities > 0.5))
    advice = f"A pair is an image and one of the labels. {advice}"
    return reliability_plot(probabilities, is_true, "pairs", advice, "the label", "present")
