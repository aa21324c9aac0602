"""What a report says of an image classifier."""

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from src.report.calibration import draw_reliability, reliability_of
from src.report.confusion import draw_confusion
from src.report.images.grad_cam import heat_maps
from src.report.images.grid import draw_grid
from src.report.images.outcomes import Confusion, Outcomes, confusions_of, outcomes_of, pictures_at
from src.report.images.pixels import as_markup, as_pixels
from src.report.images.scores import class_scores, draw_scores, shown
from src.report.parts import Part, Picture, Prose, Section, Table
from src.report.rows import split_of

LONGEST_NAME = 14  # letters of a caption
RELIABILITY = "confidence: the probability of the predicted class", "share that is right"


class ImageView:
    """Scores by class, what is confused, single pictures with heat maps, calibration.

    The model maps images (batch, channels, height, width) to logits; its `spec` names the classes.
    max_rows: of a larger split, evenly spread pictures.  num_pictures: those with the highest losses, and half as many
    that are seen best.  num_pairs: of confused classes.
    """

    def __init__(self, *, max_rows: int, num_pictures: int, num_pairs: int) -> None:
        """Raises ValueError if one of them is not positive."""
        if min(max_rows, num_pictures, num_pairs) < 1:
            raise ValueError(
                f"a view of pictures needs one of each at least, got {max_rows=}, {num_pictures=}, {num_pairs=}"
            )
        self.max_rows = max_rows
        self.num_pictures = num_pictures
        self.num_pairs = num_pairs

    def sections(self, model: pl.LightningModule, datamodule: pl.LightningDataModule) -> list[Section]:
        names = [str(name) for name in model.hparams["spec"]["class_names"]]
        outcomes = outcomes_of(model, datamodule, self.max_rows)
        broken = int(np.isnan(outcomes.losses).sum())
        if broken:
            text = f"The net's answer to {broken:,} of {len(outcomes.losses):,} pictures is no number (NaN)."
            return [Section("Scores by class", [Prose(text)], "Its training diverged: try a lower learning rate.")]
        confusions = confusions_of(outcomes, len(names))[: self.num_pairs]
        hardest = np.argsort(-outcomes.losses, kind="stable")[: self.num_pictures]
        best = _seen_best(outcomes)[: -(-self.num_pictures // 2)]
        examples = [confusion.example for confusion in confusions]
        pictures = pictures_at(datamodule, outcomes.rows[[*hardest, *best, *examples]].tolist())
        split = {"test": "test", "val": "validation"}[split_of(datamodule)]
        looked_at = len(outcomes.rows)
        note = f"All {looked_at:,} pictures of the {split} split."
        if looked_at < outcomes.total:
            note = f"{looked_at:,} of {outcomes.total:,} pictures of the {split} split, evenly spread."
        return [
            Section("Scores by class", _score_parts(outcomes, names), note),
            Section("What is taken for what", _confusion_parts(outcomes, names, confusions, pictures), note),
            Section("Pictures it gets wrong and right", _grids(model, outcomes, names, hardest, best, pictures), note),
            Section("Is it as sure as it is right?", [_reliability(outcomes)], note),
        ]


def _score_parts(outcomes: Outcomes, names: list[str]) -> list[Part]:
    scores = class_scores(outcomes.counts(len(names)), names)
    rows = shown(scores)
    note = "The weakest classes first: more, or cleaner, training pictures of these help most. "
    if len(rows) < len(scores):
        note += f"Only the weakest and the best of {len(scores)} classes are shown. "
    if len(scores) < len(names):
        note += f"{len(names) - len(scores)} of {len(names)} classes have no pictures here and are left out. "
    weakest = rows[0]
    return [
        Picture(
            "Precision and recall",
            draw_scores(rows),
            f"Precision and recall of {len(rows)} classes; the weakest is {weakest.name}, "
            f"with an F1 of {weakest.f1:.3f}",
            "Precision: of the pictures that the net puts into this class, the share that belongs there. Recall: of "
            "the pictures that belong there, the share that it finds. Where precision is far below recall the net "
            "names this class too often, where it is far above, too seldom.",
        ),
        Table(
            "Each class",
            ("class", "precision", "recall", "F1", "pictures"),
            [(score.name, _number(score.precision), score.recall, score.f1, score.count) for score in rows],
            f"{note}F1 is the harmonic mean of precision and recall: high only if both are.",
        ),
    ]


def _number(precision: float) -> float | str:
    """What the table shows; a class that is never predicted has no precision."""
    return "none" if np.isnan(precision) else precision


def _confusion_parts(
    outcomes: Outcomes, names: list[str], confusions: list[Confusion], pictures: dict[int, Tensor]
) -> list[Part]:
    matrix = Picture(
        "Confusion matrix",
        draw_confusion(outcomes.counts(len(names)), names),
        f"Matrix of {len(names)} true by {len(names)} predicted classes; {outcomes.right.sum()} of "
        f"{len(outcomes.rows)} pictures lie on the diagonal, so are right",
        "A row for each true class, a column for what the net says. What lies off the diagonal is mistaken; the shade "
        "grows with the share of the row.",
    )
    if not confusions:
        return [matrix, Prose("No picture was taken for another class.", "Most confused")]
    rows = []
    for true, taken, count, example in confusions:
        (pixels,) = as_pixels(pictures[int(outcomes.rows[example])][None])
        picture = as_markup(pixels, f"{names[true]} that was taken for {names[taken]}")
        share = count / (outcomes.labels == true).sum()
        rows.append((picture, names[true], names[taken], count, f"{share:.1%}"))
    note = (
        "The share is that of the true class. The example is the mistake with the highest loss: is its label right, "
        "and could you tell the two apart?"
    )
    return [matrix, Table("Most confused", ("example", "true", "taken for", "how often", "share"), rows, note)]


def _seen_best(outcomes: Outcomes) -> np.ndarray:
    """The right answer with the lowest loss of each class, the lowest of all first."""
    order = np.argsort(outcomes.losses, kind="stable")
    order = order[outcomes.right[order]]
    _, first = np.unique(outcomes.labels[order], return_index=True)
    return order[np.sort(first)]


def _grids(
    model: pl.LightningModule,
    outcomes: Outcomes,
    names: list[str],
    hardest: np.ndarray,
    best: np.ndarray,
    pictures: dict[int, Tensor],
) -> list[Part]:
    chosen = np.concatenate([hardest, best])
    images = torch.stack([pictures[row] for row in outcomes.rows[chosen].tolist()])
    heat = heat_maps(model, images, torch.from_numpy(outcomes.predicted[chosen]).to(images.device))
    pixels = as_pixels(images)
    heat_note = (
        "No layer of this net keeps a map of the picture, so there are no heat maps."
        if heat is None
        else "On the right, what speaks for the predicted class (Grad-CAM, coarse): the more orange, the more; a line "
        "goes round the hottest quarter. Is it the thing itself, or its background?"
    )
    wrong = int((~outcomes.right[hardest]).sum())
    hard_note = (
        f"What the net finds hardest; {wrong} of {len(hardest)} are wrong. Sure and wrong: a wrong label, an odd "
        f"picture, or something that the net has not learned. {heat_note}"
    )
    best_note = "The surest right answers, one of a class, to compare with."
    half = len(hardest)
    parts: list[Part] = []
    for title, part, note in (
        ("Highest losses", slice(half), hard_note),
        ("Seen best", slice(half, None), best_note),
    ):
        captions = [_caption(outcomes, place, names) for place in chosen[part]]
        if captions:
            figure = draw_grid(pixels[part], None if heat is None else heat[part], captions)
            alt = f"{len(captions)} pictures: " + "; ".join(text.replace("\n", ", ") for text in captions)
            parts.append(Picture(title, figure, alt, note))
    return parts


def _caption(outcomes: Outcomes, place: int, names: list[str]) -> str:
    true, said = (names[classes[place]] for classes in (outcomes.labels, outcomes.predicted))
    true, said = (name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…" for name in (true, said))
    return f"{true}\nseen as {said}\n{outcomes.confidence[place]:.1%}, loss {outcomes.losses[place]:.3g}"


def _reliability(outcomes: Outcomes) -> Picture:
    reliability = reliability_of(outcomes.confidence, outcomes.right)
    confidence, accuracy = outcomes.confidence.mean(), outcomes.right.mean()
    too_sure = confidence > accuracy
    advice = (
        "More data, augmentation or label smoothing make it humbler."
        if too_sure
        else "Longer training, or less label smoothing and mixup, make it surer."
    )
    return Picture(
        "Reliability",
        draw_reliability(reliability, outcomes.confidence, *RELIABILITY, "pictures"),
        f"Accuracy against confidence; mean confidence {confidence:.3f}, accuracy {accuracy:.3f}, "
        f"expected calibration error {reliability.error:.4f}",
        "Of all answers of which the net is 80% sure, 80% should be right: then the dots lie on the line. Below it, "
        "the net is too sure; above it, not sure enough. Small bars show how far chance alone may take a dot off; "
        "below, how many pictures there are (logarithmic). "
        f"This net is {confidence:.1%} sure on average and {accuracy:.1%} right: on the whole "
        f"{'too sure' if too_sure else 'not sure enough'}. The mean gap, called expected calibration error, is "
        f"{reliability.error:.4f}. {advice}",
    )
