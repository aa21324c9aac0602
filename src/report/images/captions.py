"""Captions of images: what their labels say, in a few short lines."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from src.report.wording import shortened

MAX_LINES = 3  # of a caption


def captions_of(labels: Tensor, spec: Mapping[str, Any]) -> list[str]:
    """A caption for each row of a batch's labels, by `spec["task"]` and `spec["class_names"]`."""
    text = {"multilabel": labels_text, "regression": numbers_text}.get(spec.get("task", ""), label_text)
    return [text(label, spec["class_names"]) for label in labels]


def label_text(label: Tensor, names: list[str], longest: int = 14) -> str:
    """A class name; for a label of shares `cat 70%` above `dog 30%`."""
    if label.ndim == 0:
        return shortened(names[int(label)], longest)
    shares, classes = label.float().topk(min(2, len(names)))
    parts = zip(shares.tolist(), classes.tolist(), strict=True)
    if float(shares[0]) > 0.995:
        return shortened(names[int(classes[0])], longest)
    return "\n".join(f"{shortened(names[index], longest - 5)} {share:.0%}" for share, index in parts)


def labels_text(label: Tensor, names: list[str], longest: int = 14) -> str:
    """The names of the labels (classes,) that are present, one a line, with their shares if they are blended."""
    present = [(names[place], float(label[place])) for place in label.nonzero().flatten().tolist()]
    lines = [shortened(f"{name}" if share > 0.995 else f"{name} {share:.0%}", longest) for name, share in present]
    return "\n".join([*lines[:MAX_LINES], *[f"{len(lines) - MAX_LINES} more"] * (len(lines) > MAX_LINES)]) or "none"


def numbers_text(label: Tensor, names: list[str], longest: int = 14) -> str:
    """The values of the targets (targets,), one a line; of several, with their names."""
    values = [f"{value:.4g}" for value in label.tolist()[:MAX_LINES]]
    if len(names) == 1:
        return values[0]
    room = [longest - len(value) - 1 for value in values]
    return "\n".join(f"{shortened(name, size)} {v}" for name, size, v in zip(names, room, values, strict=False))
