"""Maps of the vectors that a net has learned for categories: those that it found alike lie close."""

from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from src.report.figures import ACCENT, new_figure, without_box
from src.report.tables.columns import FIRST_KNOWN, Category
from src.report.tables.labels import put_labels

Kind = Literal["pca", "tsne"]
MOST_POINTS = 200  # of t-SNE, which takes 0.5 s for these
MOST_BY_PCA = 30  # of more, two components seldom say enough
MOST_LABELS = 100  # that are tried
LARGEST = 200  # points squared, of the most frequent category's dot, and less where there are many


class EmbeddingMap(NamedTuple):
    """A figure and how many categories it shows and names.  explained: the two components' share of the variance."""

    figure: Figure
    kind: Kind
    shown: int
    named: int
    explained: float | None


def principal_components(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vectors in two dimensions, (rows, 2), and the share of the variance that each of these explains, (2,)."""
    places, sizes, _ = np.linalg.svd(vectors - vectors.mean(0), full_matrices=False)
    places, sizes = np.pad(places * sizes, ((0, 0), (0, 1)))[:, :2], np.pad(sizes, (0, 1))  # if width is 1
    return places, sizes[:2] ** 2 / max((sizes**2).sum(), np.finfo(sizes.dtype).tiny)


def neighbours(vectors: np.ndarray) -> np.ndarray:
    """Vectors in two dimensions by t-SNE, (rows, 2): neighbours stay so, distances and directions say nothing."""
    tsne: Any = TSNE(perplexity=min(30, (len(vectors) - 1) / 3), init="random", random_state=0)
    with threadpool_limits(1):  # five points took 0.06 s, and 10 with two threads on a busy machine
        return tsne.fit_transform(vectors)


def draw_map(category: Category, vectors: np.ndarray, counts: np.ndarray) -> EmbeddingMap:
    """A dot for each known category, the larger the more frequent; names for those that find a place beside theirs.

    vectors: of all codes, (codes, width).  counts: how many rows have each code.
    """
    known = slice(FIRST_KNOWN, FIRST_KNOWN + MOST_POINTS)
    texts, vectors, counts = category.texts[known], vectors[known], counts[known]
    figure = new_figure(5, 4.6)
    axes = figure.add_subplot()
    if len(texts) <= MOST_BY_PCA:
        places, shares = principal_components(vectors)
        kind, explained = "pca", float(shares.sum())
        names = [f"component {axis}: {share:.0%} of the variance" for axis, share in enumerate(shares, 1)]
    else:
        places, kind, explained, names = neighbours(vectors), "tsne", None, ["t-SNE 1", "t-SNE 2"]
    areas = np.maximum(LARGEST * min(1, MOST_BY_PCA / len(texts)) * counts / max(counts.max(), 1), 10)
    axes.scatter(*places.T, s=areas, color=ACCENT, alpha=0.55, linewidths=0)
    axes.margins(0.12)
    axes.locator_params(nbins=6)
    axes.set(xlabel=names[0], ylabel=names[1])
    if kind == "tsne":
        axes.set(xticks=[], yticks=[])
    without_box(axes)
    figure.tight_layout()
    order = np.argsort(-counts, kind="stable")
    named = put_labels(axes, places[order], areas[order], [texts[place] for place in order[:MOST_LABELS]])
    return EmbeddingMap(figure, kind, len(texts), named, explained)
