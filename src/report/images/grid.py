"""Images for a page: as pixels, as an HTML element, and as a grid with captions and heat maps."""

import base64
import io

import numpy as np
import torch
import torch.nn.functional as F
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imsave
from torch import Tensor

from src.report.figures import BLACK, COLOURS, WHITE, new_figure

MAX_SIDE = 96  # pixels: larger images would make a page of megabytes
WIDTH = 6.4  # inches of the grid
GAP = 0.06  # between two images, in widths of an image
HEAT_SIDE = 64  # pixels: smooth at the size it is shown in


def as_pixels(images: Tensor) -> np.ndarray:
    """Images (batch, channels, height, width), uint8 or floats within [0, 1], as uint8 (batch, height, width, 3).

    They are shrunk to MAX_SIDE. The first three channels are red, green and blue; of one or two, the mean is grey.
    """
    pixels = images.float() / (255 if images.dtype == torch.uint8 else 1)
    pixels = pixels[:, :3] if images.shape[1] >= 3 else pixels.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    shrink = MAX_SIDE / max(images.shape[2:])
    if shrink < 1:
        size = [max(1, round(side * shrink)) for side in images.shape[2:]]
        pixels = F.interpolate(pixels, size, mode="bilinear", antialias=True)
    return (pixels.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def as_markup(pixels: np.ndarray, alt: str, width: int = 64) -> Markup:
    """Pixels (height, width, 3) as an HTML image, scaled to a width in CSS pixels without blur."""
    file = io.BytesIO()
    imsave(file, pixels, format="png")
    return Markup('<img src="data:image/png;base64,{}" alt="{}" width="{}" style="image-rendering: pixelated">').format(
        base64.b64encode(file.getvalue()).decode(), alt, width
    )


def draw_grid(pixels: np.ndarray, heat: Tensor | None, captions: list[str]) -> Figure:
    """Images in rows, each below its caption and beside its heat map.

    Args:
        pixels: uint8 (images, height, width, 3).
        heat: (images, height, width) within [0, 1]; None for images alone.
        captions: one text for each image; it may have several lines.
    """
    in_a_row, parts = (4, 1) if heat is None else (3, 2)
    size = WIDTH / (in_a_row * parts)  # inches of an image's width, which is 1 below
    tall = pixels.shape[1] / pixels.shape[2]
    caption = (0.1 + 0.135 * max(text.count("\n") + 1 for text in captions)) / size
    rows = -(-len(pixels) // in_a_row)
    figure = new_figure(WIDTH, size * rows * (tall + caption))
    axes = figure.add_axes((0, 0, 1, 1))  # one for all images: one for each takes ten times as long
    for number, text in enumerate(captions):
        row, place = divmod(number, in_a_row)
        left, top = place * parts, row * (tall + caption) + caption
        axes.text(left + GAP / 2, top - 0.04, text, va="bottom", fontsize=8, linespacing=1.15)
        for part in range(parts):
            extent = (left + part + GAP / 2, left + part + 1 - GAP / 2, top + tall - GAP * tall, top)
            axes.imshow(pixels[number], extent=extent, interpolation="none")
            if part and heat is not None:
                _lay_over(axes, heat[number], extent)
    axes.set(xlim=(0, in_a_row * parts), ylim=(rows * (tall + caption), 0), aspect="auto")
    axes.set_axis_off()
    return figure


def _lay_over(axes: Axes, heat: Tensor, extent: tuple[float, float, float, float]) -> None:
    """Colour by heat, and outline the hottest quarter in black and white, which print shows as well."""
    shade = F.interpolate(heat[None, None].cpu(), (HEAT_SIDE, HEAT_SIDE), mode="bilinear")[0, 0]
    colour = torch.tensor(to_rgb(COLOURS[1])).expand(HEAT_SIDE, HEAT_SIDE, 3)
    layer = torch.cat([colour, 0.7 * shade[..., None]], 2)
    axes.imshow((layer * 255).byte().numpy(), extent=extent, interpolation="none")
    level = float(shade.quantile(0.75).clamp(min=0.05))
    if shade.max() > level:
        left, right, bottom, top = extent
        middles = (torch.arange(HEAT_SIDE) + 0.5) / HEAT_SIDE
        x, y = left + (right - left) * middles, top + (bottom - top) * middles
        for width, color in ((2.4, WHITE), (1, BLACK)):
            axes.contour(x, y, shade, levels=[level], colors=color, linewidths=width)
