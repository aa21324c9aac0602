"""Write the vectors that a net has learned for the categories of a table, and draw each column's as a map.

    python scripts/export_embeddings.py --checkpoint runs/.../checkpoints/best.ckpt --out embeddings [--map tsne]

For each column COLUMN.parquet: a row for each category (`code`, `category`, `vector_0`, `vector_1` ...), the most
frequent first, after <missing> and <unknown>; and COLUMN.png: the categories in two dimensions, without these two.
Vectors lie close where the net found the categories alike.
"""

import argparse
import os
import sys
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox
from pyarrow import parquet
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from src.callbacks.figure import new_figure
from src.datamodules.table_categories import FIRST_KNOWN
from src.entity_embedder import read_vectors

Map = Literal["pca", "tsne"]
MOST_LABELS = 200  # that are tried: of thousands no more would find a place
GAP = 5  # points between a dot and its label
SIDES: list[tuple[tuple[int, int], str, str]] = [
    ((GAP, 0), "left", "center"),
    ((-GAP, 0), "right", "center"),
    ((0, GAP), "center", "bottom"),
    ((0, -GAP), "center", "top"),
]


def export(checkpoint: str, folder: Path, kind: Map) -> None:
    """Write both files of each column."""
    processing, vectors = read_vectors(checkpoint)
    folder.mkdir(parents=True, exist_ok=True)
    for column, here in zip(processing.category_names, vectors, strict=True):
        texts = processing.categories(column)
        path = folder / f"{column.replace(os.sep, '_')}.parquet"
        parquet.write_table(vector_table(texts, here), path)
        drawn = "no category to draw"
        if len(texts) > FIRST_KNOWN:
            draw_map(column, texts[FIRST_KNOWN:], here[FIRST_KNOWN:], kind).savefig(path.with_suffix(".png"))
            drawn = path.with_suffix(".png").name
        print(f"{path}, {drawn}: {len(texts) - FIRST_KNOWN} categories, {here.shape[1]} numbers each")


def vector_table(texts: list[str], vectors: np.ndarray) -> pa.Table:
    """A row for each code."""
    numbers = {f"vector_{place}": values for place, values in enumerate(vectors.T)}
    return pa.table({"code": np.arange(len(texts)), "category": texts, **numbers})


def flattened(vectors: np.ndarray, kind: Map) -> tuple[np.ndarray, list[str]]:
    """Vectors in two dimensions, (rows, 2), and what the axes are."""
    if kind == "tsne" and len(vectors) > 2:
        tsne: Any = TSNE(perplexity=min(30, (len(vectors) - 1) / 3), init="random", random_state=0)
        with threadpool_limits(1):  # five points took 0.06 s, and 10 with two threads on a busy machine
            return tsne.fit_transform(vectors), ["t-SNE 1", "t-SNE 2"]
    places, sizes, _ = np.linalg.svd(vectors - vectors.mean(0), full_matrices=False)
    places, sizes = np.pad(places * sizes, ((0, 0), (0, 1)))[:, :2], np.pad(sizes, (0, 1))  # if width is 1
    shares = sizes[:2] ** 2 / max((sizes**2).sum(), np.finfo(sizes.dtype).tiny)
    return places, [f"principal component {axis} ({share:.0%} of the variance)" for axis, share in enumerate(shares, 1)]


def draw_map(column: str, texts: list[str], vectors: np.ndarray, kind: Map) -> Figure:
    """A dot for each category; labels for those, from the most frequent on, that find a place beside it."""
    figure = new_figure(11, 8.5)
    axes = figure.add_subplot()
    places, names = flattened(vectors, kind)
    axes.scatter(*places.T, s=14, color="tab:blue", alpha=0.6, linewidths=0)
    axes.margins(0.08)
    axes.set(xlabel=names[0], ylabel=names[1])
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout(rect=(0, 0, 1, 0.95))
    labelled = put_labels(axes, places, texts[:MOST_LABELS])
    more = "" if labelled == len(texts) else f", {labelled} of {len(texts)} with their names, the most frequent first"
    axes.set_title(f"{column}: categories that the net found alike lie close{more}", loc="left", fontsize=11)
    return figure


def put_labels(axes: Axes, places: np.ndarray, texts: list[str]) -> int:
    """Write each text beside its dot if it covers no other, rather where it covers no dot; returns how many stand."""
    renderer = axes.figure.canvas.get_renderer()  # pyright: ignore[reportAttributeAccessIssue]
    dots = axes.transData.transform(places)
    inside, taken = axes.get_window_extent(renderer), []
    for number, text in enumerate(texts):
        others = np.delete(dots, number, axis=0)
        for spared, (offset, horizontal, vertical) in product((others, others[:0]), SIDES):
            label = axes.annotate(
                shortened(text),
                places[number],
                offset,
                textcoords="offset points",
                ha=horizontal,
                va=vertical,
                fontsize=8,
                parse_math=False,
                path_effects=[withStroke(linewidth=2, foreground="white", alpha=0.6)],
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


def shortened(text: str) -> str:
    """A text of 30 letters at most, on one line."""
    text = " ".join(text.split())
    return text if len(text) <= 30 else f"{text[:29]}\N{HORIZONTAL ELLIPSIS}"


def main() -> None:
    """Read the arguments and export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", required=True, help="of a table's model")
    parser.add_argument("--out", type=Path, required=True, help="folder")
    parser.add_argument("--map", choices=["pca", "tsne"], default="pca", help="how vectors get two dimensions")
    args = parser.parse_args()
    try:
        export(args.checkpoint, args.out, args.map)
    except (ValueError, FileNotFoundError) as error:
        parser.exit(1, f"error: {error}\n")


if __name__ == "__main__":
    main()
