"""Pictures of how far a table's net can be trusted, and how to read them."""

import numpy as np
from sklearn.metrics import confusion_matrix, roc_auc_score

from src.report.calibration import draw_reliability, reliability_of
from src.report.confusion import draw_confusion
from src.report.parts import Part, Picture
from src.report.tables.classes import draw_scores, draw_true_classes
from src.report.tables.net import TableNet, TableRows
from src.report.tables.values import bands, draw_predicted, draw_residuals

MOST_CONFUSED = 60  # classes


def class_pictures(net: TableNet, rows: TableRows) -> list[Part]:
    """Reliability, what tells the classes apart, confusion matrix."""
    probabilities, classes = net.predictions(rows), net.truth(rows)
    parts = [_reliability(net, probabilities, classes), _scores(net, probabilities, classes)]
    return [*parts, *([_confusion(net, probabilities, classes)] if len(net.names) <= MOST_CONFUSED else [])]


def _reliability(net: TableNet, probabilities: np.ndarray, classes: np.ndarray) -> Part:
    if net.is_binary:
        score, is_so, what = probabilities[:, 1].copy(), classes == 1, net.names[1]
        labels = f"predicted probability of {what}", f"share that is {what}"
    else:
        score, is_so, what = probabilities.max(1), probabilities.argmax(1) == classes, "the predicted class"
        labels = "probability of the predicted class", "share that is right"
    found = reliability_of(score, is_so)
    note = (
        f"Of all rows in which {what} is 80 % probable to the net, 80 % should be so: then the line follows the "
        "diagonal. Small bars show how far chance alone may take it off; below, how many rows there are "
        "(logarithmic). Below the diagonal the net finds it too "
        f"probable, above it not probable enough. On average it says {score.mean():.1%}, and {is_so.mean():.1%} are "
        f"so; the mean gap, the calibration error, is {found.error:.4f}. More data, dropout or fewer epochs help a net "
        "that is too sure."
    )
    alt = f"Shares against predicted probabilities of {what}; calibration error {found.error:.4f}"
    return Picture("Is it right as often as it says?", draw_reliability(found, score, *labels, "rows"), alt, note)


def _scores(net: TableNet, probabilities: np.ndarray, classes: np.ndarray) -> Part:
    if not net.is_binary:
        figure, drawn = draw_true_classes(probabilities, classes, net.names)
        note = (
            "For the rows of each class, how probable the net finds it: the thick line is the middle row, half of the "
            "rows lie in the box, nine of ten within the whiskers. The class at the top is found worst: it needs more "
            "rows, or columns that tell it from the others."
        )
        if drawn < len(net.names):
            note += f" The {drawn} hardest of {len(net.names)} classes."
        return Picture("How sure it is of each class", figure, f"Probability of the true class, {drawn} classes", note)
    note = "The less the two overlap, the better the net tells them apart."
    if len(set(classes.tolist())) == 2:
        area = roc_auc_score(classes, probabilities[:, 1])
        note += (
            f" The AUROC, {area:.4f}, says it in a number: so often a row that is {net.names[1]} gets the higher "
            "probability of two; 0.5 is chance."
        )
    note += " Moving the threshold from 0.5 to the left finds more of them, at the price of more false alarms."
    figure = draw_scores(probabilities[:, 1], classes, net.names)
    return Picture(
        "How well it tells them apart", figure, f"Probability of {net.names[1]} in rows of either class", note
    )


def _confusion(net: TableNet, probabilities: np.ndarray, classes: np.ndarray) -> Part:
    counts = confusion_matrix(classes, probabilities.argmax(1), labels=range(len(net.names)))
    return Picture(
        "What it takes for what",
        draw_confusion(counts, net.names),
        f"Matrix of {len(net.names)} true by {len(net.names)} predicted classes; {np.trace(counts)} of {len(classes)} "
        "rows are right",
        "A row for each true class, a column for the most probable one. What lies off the diagonal is mistaken; the "
        "shade grows with the share of the row.",
    )


def value_pictures(net: TableNet, rows: TableRows) -> list[Part]:
    """For each target, predicted against true values, and residuals."""
    columns = zip(net.names, net.predictions(rows).T, net.truth(rows).T, strict=True)
    return [part for name, predicted, true in columns for part in _values(net, name, predicted, true)]


def _values(net: TableNet, name: str, predicted: np.ndarray, true: np.ndarray) -> list[Part]:
    residuals = true - predicted
    explained = 1 - residuals.var() / true.var() if true.var() else 0.0
    _, low, _, high = bands(predicted, residuals)
    width = high - low
    widening = ""
    if 0 < 3 * width[0] < width[-1]:
        widening = f" Here they widen: {width[-1] / width[0]:.1f} times as wide on the right as on the left"
        widening += (
            ", as is natural for what is learned as a logarithm: errors are shares of the value."
            if net.learns_logarithms
            else ": the logarithm of the target (datamodule.target_scaling=log) may fit better."
        )
    return [
        Picture(
            f"{name}: predicted and true",
            draw_predicted(predicted, true, name),
            f"True against predicted {name}; {explained:.0%} of the variance is explained",
            f"On the dashed line the net is right. {explained:.1%} of the variance of {name} is explained. A cloud "
            "that rises less than the line is a net that keeps to the middle: the columns say too little, or the "
            "training was too short.",
        ),
        Picture(
            f"{name}: what is left",
            draw_residuals(predicted, true, name),
            f"True minus predicted {name} against predicted; the mean is {residuals.mean():.4g}",
            "Good errors look the same from left to right, half above and half below. A bend of the middle line is "
            f"something that the net has missed.{widening}",
        ),
    ]
