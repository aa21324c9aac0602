"""Draws what each augmentation of images does, on the two photographs that scikit-learn brings.

python -m scripts.draw_augmentation [--output docs/images/augmentation.jpg]
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

from scripts.shared.arguments import command_line
from src.core.check import composed
from src.core.explain import readable_errors
from src.core.files import staged
from src.core.output import show
from src.datamodules.images.augmentation import Augmentation
from src.datamodules.images.files import RESIZES, read_image
from src.datamodules.images.scaling import scale
from src.report.figures import new_figure

SIDE, CACHED = 96, 160  # pixels that the net sees, and that are cached
IN_A_ROW, INCHES, GAP = 6, 1.0, 0.06  # images, the width of one, and the space between two in widths
CHANGES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "flip=true": {"flip": True},
    "crop_scale=[0.35,1.0]": {"crop_scale": (0.35, 1.0)},
    "crop_padding=20": {"crop_padding": 20},
    "rotation=15": {"rotation": 15.0},
    "translation=0.15": {"translation": 0.15},
    "scale=0.3": {"scale": 0.3},
    "lighting=0.4": {"lighting": 0.4},
    "color=0.4": {"color": 0.4},
    "erasing=0.7": {"erasing": 0.7},
    "mixup=1.0": {"mixup": 1.0},
    "cutmix=1.0": {"cutmix": 1.0},
}


def photographs(folder: Path) -> list[Path]:
    """The two photographs of scikit-learn, as files."""
    from sklearn.datasets import load_sample_images

    paths = []
    for name, pixels in zip(("flower", "china"), reversed(load_sample_images().images), strict=True):
        paths.append(folder / f"{name}.png")
        Image.fromarray(pixels).save(paths[-1])
    return paths


def rows_of_images(paths: Sequence[Path], defaults: dict[str, Any]) -> dict[str, np.ndarray]:
    """For each change, images (IN_A_ROW, SIDE, SIDE, 3), uint8; defaults: of Augmentation, by which nothing changes."""
    ways = [read_image(path, SIDE, 3, resize=way) for path in paths for way in RESIZES]
    rows = {f"resize={', '.join(RESIZES)}": np.stack(ways)}
    cached = torch.from_numpy(np.stack([read_image(path, CACHED, 3) for path in paths]))
    batch = cached.repeat(IN_A_ROW // len(paths), 1, 1, 1)
    for name, changes in CHANGES.items():
        augmentation = Augmentation(**{**defaults, **changes})
        images, _ = augmentation(batch, torch.arange(len(batch)) % len(paths), len(paths), (SIDE, SIDE))
        pixels = scale(images, (SIDE, SIDE))
        pixels = pixels if pixels.dtype == torch.uint8 else pixels.mul(255).round().byte()
        rows[name] = pixels.permute(0, 2, 3, 1).numpy()
    return rows


def draw(rows: dict[str, np.ndarray]) -> Figure:
    """The images in rows, each below its name."""
    height = 1.25  # of a row with its name, in widths of an image
    figure = new_figure(INCHES * IN_A_ROW, INCHES * height * len(rows))
    axes = figure.add_axes((0, 0, 1, 1))
    for row, (name, images) in enumerate(rows.items()):
        top = row * height + height - 1
        axes.text(GAP / 2, top - 0.04, name, va="bottom", fontsize=8)
        for place, image in enumerate(images):
            extent = (place + GAP / 2, place + 1 - GAP / 2, top + 1 - GAP, top)
            axes.imshow(image, extent=extent)
    axes.set(xlim=(0, IN_A_ROW), ylim=(height * len(rows), 0), aspect="auto")
    axes.set_axis_off()
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the figure and show its path."""
    parser = command_line("draw_augmentation", __doc__)
    parser.add_argument("--output", default="docs/images/augmentation.jpg", help="the figure, a JPEG")
    args = parser.parse_args(arguments)
    torch.manual_seed(0)
    with readable_errors("train"), tempfile.TemporaryDirectory() as folder:
        defaults: Any = composed(["run_dir=unused"]).datamodule.augmentation
        chosen = {key: value for key, value in defaults.items() if key != "_target_"}
        figure = draw(rows_of_images(photographs(Path(folder)), chosen))
        with staged(Path(args.output)) as part:
            figure.savefig(part, format="jpg", pil_kwargs={"quality": 85})
        show(args.output)


if __name__ == "__main__":
    main()
