"""Names of columns and categories in figures: short, written as they are, and none upon another."""

from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Text
from matplotlib.transforms import Bbox

SIDES = [(1, 0, "left", "center"), (-1, 0, "right", "center"), (0, 1, "center", "bottom"), (0, -1, "center", "top")]


def shortened(text: str, longest: int = 30) -> str:
    """A text of so many letters at most, on one line."""
    text = " ".join(text.split())
    return text if len(text) <= longest else f"{text[: longest - 1]}\N{HORIZONTAL ELLIPSIS}"


def as_written(texts: Iterable[Text]) -> None:
    """Show a dollar sign as one: to matplotlib two of them are a formula."""
    for text in texts:
        text.set_parse_math(False)


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Write names beside the vertical places 0, 1, ..., the first on top."""
    axes.set_yticks(range(len(names)), [shortened(name, 24) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    as_written(axes.get_yticklabels())


def add_legend(axes: Axes, **choices: Any) -> None:
    """A legend without a frame."""
    as_written(axes.legend(frameon=False, **choices).get_texts())


def put_labels(axes: Axes, places: np.ndarray, areas: np.ndarray, texts: Sequence[str]) -> int:
    """Write each text beside its dot if it covers no other, rather where it covers no dot; returns how many stand.

    places, areas: of all dots, (dots, 2), and (dots,) in square points; the texts are those of the first ones. The axes
    must have their final size.
    """
    renderer = axes.figure.canvas.get_renderer()  # pyright: ignore[reportAttributeAccessIssue]
    dots = axes.transData.transform(places)
    inside, taken = axes.get_window_extent(renderer), []
    for number, text in enumerate(texts):
        others = np.delete(dots, number, axis=0)
        gap = np.sqrt(areas[number] / np.pi) + 2
        for spared, (right, up, horizontal, vertical) in product((others, others[:0]), SIDES):
            label = axes.annotate(
                shortened(text),
                places[number],
                (right * gap, up * gap),
                textcoords="offset points",
                ha=horizontal,
                va=vertical,
                fontsize=8,
                parse_math=False,
            )
            box = label.get_window_extent(renderer)
            if _is_free(box, inside, taken, spared):
                taken.append(box)
                break
            label.remove()
    return len(taken)


def _is_free(box: Bbox, inside: Bbox, taken: list[Bbox], dots: np.ndarray) -> bool:
    within = inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1
    return within and not box.count_overlaps(taken) and not box.count_contains(dots)
