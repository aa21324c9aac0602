"""Maps of the vectors that a net has learned for categories: similar ones lie close together."""

from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from src.report.figures import ACCENT, new_figure, without_box
from src.report.tables.columns import FIRST_KNOWN, Category
from src.report.wording import shortened

MAX_POINTS = 200  # of t-SNE, which takes 0.5 s for these
MAX_BY_PCA = 30  # of more categories, two components seldom say enough
MAX_LABELS = 100  # that are tried
MAX_AREA = 200  # points squared, of the most frequent category's dot; less where there are many
SIDES = [(1, 0, "left", "center"), (-1, 0, "right", "center"), (0, 1, "center", "bottom"), (0, -1, "center", "top")]


class EmbeddingMap(NamedTuple):
    """A figure, and how many categories it shows and names. explained: its share of the variance, None for t-SNE."""

    figure: Figure
    shown: int
    named: int
    explained: float | None


def principal_components(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vectors in two dimensions (rows, 2), and the share of the variance that each explains (2,)."""
    places, sizes, _ = np.linalg.svd(vectors - vectors.mean(0), full_matrices=False)
    places, sizes = np.pad(places * sizes, ((0, 0), (0, 1)))[:, :2], np.pad(sizes, (0, 1))  # if width is 1
    return places, sizes[:2] ** 2 / max((sizes**2).sum(), np.finfo(sizes.dtype).tiny)


def tsne_places(vectors: np.ndarray) -> np.ndarray:
    """Vectors in two dimensions by t-SNE (rows, 2): it keeps neighbours, not distances and directions."""
    tsne: Any = TSNE(perplexity=min(30, (len(vectors) - 1) / 3), init="random", random_state=0)
    with threadpool_limits(1):  # five points took 0.06 s, and 10 s with two threads on a busy machine
        return tsne.fit_transform(vectors)


def draw_category_map(
    category: Category, vectors: np.ndarray, counts: np.ndarray, *, by_pca: bool = False
) -> EmbeddingMap:
    """A dot for each known category, larger if more frequent, with a name where there is room.

    Args:
        vectors: of all codes, (codes, width).
        counts: how many rows have each code.
        by_pca: take principal components of any number of categories.
    """
    known = slice(FIRST_KNOWN, FIRST_KNOWN + MAX_POINTS)
    texts, vectors, counts = category.texts[known], vectors[known], counts[known]
    figure = new_figure(5, 4.6)
    axes = figure.add_subplot()
    if by_pca or len(texts) <= MAX_BY_PCA:
        places, shares = principal_components(vectors)
        explained = float(shares.sum())
        names = [f"component {axis}: {share:.0%} of the variance" for axis, share in enumerate(shares, 1)]
    else:
        places, explained, names = tsne_places(vectors), None, ["t-SNE 1", "t-SNE 2"]
    areas = np.maximum(MAX_AREA * min(1, MAX_BY_PCA / len(texts)) * counts / max(counts.max(), 1), 10)
    axes.scatter(*places.T, s=areas, color=ACCENT, alpha=0.55, linewidths=0)
    axes.margins(0.12)
    axes.locator_params(nbins=6)
    axes.set(xlabel=names[0], ylabel=names[1])
    if explained is None:
        axes.set(xticks=[], yticks=[])
    without_box(axes)
    figure.tight_layout()
    order = np.argsort(-counts, kind="stable")
    named = put_labels(axes, places[order], areas[order], [texts[place] for place in order[:MAX_LABELS]])
    return EmbeddingMap(figure, len(texts), named, explained)


def put_labels(axes: Axes, places: np.ndarray, areas: np.ndarray, texts: Sequence[str]) -> int:
    """Write each text beside its dot unless it would cover another text; it avoids covering dots if it can.

    The axes must have their final size.

    Args:
        places: of all dots, (dots, 2).
        areas: of all dots in square points, (dots,).
        texts: of the first dots.

    Returns:
        How many texts are written.
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
                parse_math=False,  # measured before the figure is drawn
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
