"""Writes the vectors that a net has learned for the categories of a table, and draws each column's as a map.

    python -m scripts.export_embeddings --checkpoint runs/.../checkpoints/best.ckpt --out embeddings [--map tsne]

Each column gets COLUMN.parquet, with a row for each category (`code`, `category`, `vector_0`, `vector_1` ...), the most
frequent first, after <missing> and <unknown>; and COLUMN.png, with the categories in two dimensions, without these two.
Vectors lie close where categories act alike in the net.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from matplotlib.figure import Figure
from pyarrow import parquet

from scripts.shared.arguments import add_trust, command_line
from src.core.explain import blamed_on, readable_errors
from src.core.output import show
from src.datamodules.tables.cells import FIRST_KNOWN
from src.report.figures import ACCENT, new_figure, without_box
from src.report.tables.map import principal_components, put_labels, tsne_places
from src.serving.tables.entity_embedder import read_vectors

Map = Literal["pca", "tsne"]
MAX_LABELS = 200  # to try: more would not find a place


def export(checkpoint: str, folder: Path, kind: Map, trust: Sequence[str] = ()) -> None:
    """Write both files of each column."""
    processing, vectors = read_vectors(checkpoint, trust)
    folder.mkdir(parents=True, exist_ok=True)
    for column, here in zip(processing.category_names, vectors, strict=True):
        texts = processing.categories(column)
        path = folder / f"{column.replace(os.sep, '_')}.parquet"
        parquet.write_table(vector_table(texts, here), path)
        drawn = "no category to draw"
        if len(texts) > FIRST_KNOWN:
            draw_map(column, texts[FIRST_KNOWN:], here[FIRST_KNOWN:], kind).savefig(path.with_suffix(".png"))
            drawn = path.with_suffix(".png").name
        show(f"{path}, {drawn}: {len(texts) - FIRST_KNOWN} categories, {here.shape[1]} numbers each")


def vector_table(texts: list[str], vectors: np.ndarray) -> pa.Table:
    """Make a row for each code."""
    numbers = {f"vector_{place}": values for place, values in enumerate(vectors.T)}
    return pa.table({"code": np.arange(len(texts)), "category": texts, **numbers})


def flattened(vectors: np.ndarray, kind: Map) -> tuple[np.ndarray, list[str]]:
    """Map vectors to two dimensions, (rows, 2); returns the names of the axes, too."""
    if kind == "tsne" and len(vectors) > 2:
        return tsne_places(vectors), ["t-SNE 1", "t-SNE 2"]
    places, shares = principal_components(vectors)
    return places, [f"principal component {axis} ({share:.0%} of the variance)" for axis, share in enumerate(shares, 1)]


def draw_map(column: str, texts: list[str], vectors: np.ndarray, kind: Map) -> Figure:
    """Draw a dot for each category, with labels from the most frequent on where they find a place."""
    figure = new_figure(11, 8.5)
    axes = figure.add_subplot()
    places, names = flattened(vectors, kind)
    areas = np.full(len(places), 14)
    axes.scatter(*places.T, s=areas, color=ACCENT, alpha=0.6, linewidths=0)
    axes.margins(0.08)
    axes.set(xlabel=names[0], ylabel=names[1])
    without_box(axes)
    figure.tight_layout(rect=(0, 0, 1, 0.95))
    labelled = put_labels(axes, places, areas, texts[:MAX_LABELS])
    more = "" if labelled == len(texts) else f", {labelled} of {len(texts)} with names, the most frequent first"
    axes.set_title(f"{column}: categories that act alike in the net lie close{more}", loc="left", fontsize=11)
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments and export."""
    parser = command_line("export_embeddings", __doc__)
    parser.add_argument("--checkpoint", required=True, help="of a model of a table")
    parser.add_argument("--out", type=Path, required=True, help="folder")
    parser.add_argument("--map", choices=["pca", "tsne"], default="pca", help="how vectors get two dimensions")
    add_trust(parser)
    args = parser.parse_args(arguments)
    with readable_errors("train"), blamed_on(args.checkpoint):
        export(args.checkpoint, args.out, args.map, args.trust)


if __name__ == "__main__":
    main()
