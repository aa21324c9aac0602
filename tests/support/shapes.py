"""Drawn images whose labels are known: which shapes each holds, and how much of it they cover."""

import numpy as np
import torch
from PIL import Image

from src.datamodules.images.base import ImageData
from src.datamodules.images.split import ImageSplit

NAMES = ["circle", "square", "triangle"]


def masks(side):
    """Where each of the three shapes of this many pixels lies, (3, side, side)."""
    y, x = np.mgrid[:side, :side] + 0.5 - side / 2
    return np.stack([x**2 + y**2 <= side**2 / 4, np.maximum(abs(x), abs(y)) <= 0.4 * side, 2 * abs(x) <= y + side / 2])


def drawn_shapes(rows, side=24, seed=0):
    """Images and what they hold.

    Returns:
        uint8 (rows, side, side, 3), which shapes are there (rows, 3), and the light share of each image in percent and
        the brightness of its ground (rows, 2).
    """
    rng = np.random.default_rng(seed)
    shapes = masks(side // 3)
    held = rng.random((rows, 3)) < (0.6, 0.4, 0.25)
    grounds = rng.uniform(0, 80, rows)
    images = grounds[:, None, None, None] + rng.normal(0, 8, (rows, side, side, 3))
    share = np.zeros(rows)
    for image, present, row in zip(images, held, range(rows), strict=True):
        for shape, place in zip(np.flatnonzero(present), rng.permutation(9), strict=False):
            top, left = (side // 3) * np.array(divmod(int(place), 3))
            window = image[top : top + side // 3, left : left + side // 3]
            window[shapes[shape]] = rng.uniform(140, 255, 3)
            share[row] += 100 * shapes[shape].sum() / side**2
    numbers = np.stack([share, grounds], 1)
    return images.clip(0, 255).astype(np.uint8), held.astype(np.float32), numbers.astype(np.float32)


class DrawnShapes(ImageData):
    """The drawn images, labelled for a task; `rows` says how many each split has."""

    def __init__(self, *, rows, task, y_range=None, **image_data):
        self.task, self.y_range = task, y_range
        super().__init__(**image_data)
        self.rows = rows
        self.class_names = ["share", "ground"] if self.task == "regression" else NAMES

    def read(self):
        found = {}
        for number, (split, rows) in enumerate(self.rows.items()):
            images, held, numbers = drawn_shapes(rows, seed=number)
            labels = {"classification": held.argmax(1), "multilabel": held, "regression": numbers}[self.task]
            found[split] = ImageSplit(torch.from_numpy(images), torch.from_numpy(labels))
        return found


def write_shapes(folder, rows, side=24, seed=0):
    """Write the drawn images, and labels.csv: path, labels with spaces between them, share, ground."""
    images, held, numbers = drawn_shapes(rows, side, seed)
    (folder / "images").mkdir(parents=True)
    lines = ["path,labels,share,ground"]
    for row, (image, present, (share, ground)) in enumerate(zip(images, held, numbers, strict=True)):
        Image.fromarray(image).save(folder / "images" / f"{row:04}.png")
        names = " ".join(name for name, is_there in zip(NAMES, present, strict=True) if is_there)
        lines.append(f"images/{row:04}.png,{names},{share},{ground}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
