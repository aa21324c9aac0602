"""What a report shows of an image model."""

from dataclasses import dataclass

import numpy as np
import pytorch_lightning as pl
from torch import Tensor

from src.report.calibration import reliability_plot
from src.report.confusion import confusion_plot
from src.report.images.examples import MAX_NAME_LENGTH, diverged, examples
from src.report.images.grid import as_markup, as_pixels
from src.report.images.labels import label_sections
from src.report.images.numbers import number_sections
from src.report.images.outcomes import Confusion, Outcomes, advice_for, confusions_of, images_at, outcomes_of
from src.report.images.scores import class_scores, draw_class_scores, precision_cell, weakest_and_best
from src.report.parts import Part, Plot, Prose, Section, Table
from src.report.rows import rows_note
from src.report.wording import shortened


@dataclass(frozen=True, kw_only=True)
class ImageView:
    """Scores by class, label or target; what is confused, missed or off; single images with heat maps; calibration.

    The model maps images (batch, channels, height, width) to logits; its `spec` has the class names. One of several
    labels or numbers also has a `task` with answers and losses, see src/models/images/tasks.py.

    Attributes:
        max_rows: how many images it looks at; they are evenly spread over a larger split.
        num_images: how many images with the highest losses it shows, and half as many of the best ones.
        num_pairs: how many pairs of confused classes or labels it lists.
    """

    max_rows: int
    num_images: int
    num_pairs: int

    def __post_init__(self) -> None:
        if min(self.max_rows, self.num_images, self.num_pairs) < 1:
            raise ValueError(f"each number of a view of images must be at least 1, got {self}")

    def sections(self, model: pl.LightningModule, datamodule: pl.LightningDataModule) -> list[Section]:
        task = model.hparams["spec"].get("task")
        if task == "multilabel":
            return label_sections(model, datamodule, self.max_rows, self.num_images, self.num_pairs)
        if task == "regression":
            return number_sections(model, datamodule, self.max_rows, self.num_images)
        return self._class_sections(model, datamodule)

    def _class_sections(self, model: pl.LightningModule, datamodule: pl.LightningDataModule) -> list[Section]:
        names = [str(name) for name in model.hparams["spec"]["class_names"]]
        outcomes = outcomes_of(model, datamodule, self.max_rows)
        if broken := int(np.isnan(outcomes.losses).sum()):
            return [diverged("Scores by class", broken, len(outcomes.losses))]
        confusions = confusions_of(outcomes, len(names))[: self.num_pairs]
        hardest = np.argsort(-outcomes.losses, kind="stable")[: self.num_images]
        best = _best_of_classes(outcomes)[: -(-self.num_images // 2)]
        examples = [confusion.example for confusion in confusions]
        images = images_at(datamodule, outcomes.rows[[*hardest, *best, *examples]].tolist())
        note = f"{rows_note(datamodule, len(outcomes.rows), outcomes.total, 'images')}."
        return [
            Section("Scores by class", _score_parts(outcomes, names), note),
            Section("Which classes it confuses", _confusion_parts(outcomes, names, confusions, images), note),
            Section("Hardest and easiest images", _grids(model, outcomes, names, hardest, best, images), note),
            Section("Can its confidence be trusted?", [_reliability(outcomes)], note),
        ]


def _score_parts(outcomes: Outcomes, names: list[str]) -> list[Part]:
    scores = class_scores(outcomes.counts(len(names)), names)
    rows = weakest_and_best(scores)
    note = "The weakest classes come first: more, or cleaner, training images of these help most. "
    if len(rows) < len(scores):
        note += f"The table shows only the weakest and the best of {len(scores)} classes. "
    if len(scores) < len(names):
        note += f"It leaves out {len(names) - len(scores)} of {len(names)} classes, which have no images here. "
    return [
        Plot(
            "Precision and recall",
            draw_class_scores(rows),
            f"Precision and recall of {len(rows)} classes; the weakest is {rows[0].name}, with an F1 of "
            f"{rows[0].f1:.3f}",
            "Precision: the share of the images put into this class that belong there. Recall: the share of this "
            "class's images that the net finds. If precision is far below recall, the net predicts the class too "
            "often; if far above, too seldom.",
        ),
        Table(
            "Each class",
            ("class", "precision", "recall", "F1", "images"),
            [(score.name, precision_cell(score), score.recall, score.f1, score.count) for score in rows],
            f"{note}F1 is the harmonic mean of precision and recall: it is high only if both are.",
        ),
    ]


def _confusion_parts(
    outcomes: Outcomes, names: list[str], confusions: list[Confusion], images: dict[int, Tensor]
) -> list[Part]:
    matrix = confusion_plot(outcomes.counts(len(names)), names, "images")
    if not confusions:
        return [matrix, Prose("The net mistook no image for another class.", "Most confused")]
    rows = []
    for true, predicted, count, example in confusions:
        (pixels,) = as_pixels(images[int(outcomes.rows[example])][None])
        image = as_markup(pixels, f"{names[true]} mistaken for {names[predicted]}")
        share = count / (outcomes.labels == true).sum()
        rows.append((image, names[true], names[predicted], count, f"{share:.1%}"))
    note = (
        "The share is of the true class's images. The example is the mistake with the highest loss: is its label "
        "correct, and could you tell the two classes apart?"
    )
    return [matrix, Table("Most confused", ("example", "true", "predicted", "count", "share"), rows, note)]


def _best_of_classes(outcomes: Outcomes) -> np.ndarray:
    """Of each class the correct answer with the lowest loss, the lowest of all first."""
    order = np.argsort(outcomes.losses, kind="stable")
    order = order[outcomes.is_correct[order]]
    _, first = np.unique(outcomes.labels[order], return_index=True)
    return order[np.sort(first)]


def _grids(
    model: pl.LightningModule,
    outcomes: Outcomes,
    names: list[str],
    hardest: np.ndarray,
    best: np.ndarray,
    images: dict[int, Tensor],
) -> list[Part]:
    wrong = int((~outcomes.is_correct[hardest]).sum())
    parts: list[Part] = []
    for title, chosen, note, question in (
        (
            "Highest losses",
            hardest,
            "Above each image: the true class, the predicted class, its probability, and the loss. "
            f"Wrong: {wrong} of {len(hardest)}. If the net is confident and wrong, the label is wrong, the image is "
            "unusual, or the net has not learned something.",
            "Right: what speaks for the predicted class (Grad-CAM, coarse). Orange counts most; the line encloses the "
            "hottest quarter. Is it the object itself, or the background?",
        ),
        ("Lowest losses", best, "The best correct answer of each class, for comparison.", ""),
    ):
        shown = [images[row] for row in outcomes.rows[chosen].tolist()]
        captions = [_caption(outcomes, place, names) for place in chosen]
        parts += examples(model, title, shown, outcomes.predicted[chosen], captions, note, question)
    return parts


def _caption(outcomes: Outcomes, place: int, names: list[str]) -> str:
    classes = outcomes.labels[place], outcomes.predicted[place]
    true, predicted = (shortened(names[number], MAX_NAME_LENGTH) for number in classes)
    return f"{true}\npredicted {predicted}\n{outcomes.confidence[place]:.1%}, loss {outcomes.losses[place]:.3g}"


def _reliability(outcomes: Outcomes) -> Plot:
    advice = advice_for(outcomes.confidence, outcomes.is_correct)
    return reliability_plot(outcomes.confidence, outcomes.is_correct, "images", advice)
