"""Pictures in rows, each below its caption and beside what the net looked at."""

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from torch import Tensor

from src.report.figures import BLACK, COLOURS, WHITE, new_figure

WIDTH = 6.4  # inches
GAP = 0.06  # between two, in widths of one
HEAT_SIDE = 64  # pixels: smooth at the size that it is shown in


def draw_grid(pixels: np.ndarray, heat: Tensor | None, captions: list[str]) -> Figure:
    """pixels: uint8 (pictures, height, width, 3).  heat: (pictures, height, width) within [0, 1]; None: no heat maps.

    captions: lines of text for each.
    """
    in_a_row, parts = (4, 1) if heat is None else (3, 2)
    size = WIDTH / (in_a_row * parts)  # inches of a picture's width, which is 1 below
    tall = pixels.shape[1] / pixels.shape[2]
    caption = (0.1 + 0.135 * max(text.count("\n") + 1 for text in captions)) / size
    rows = -(-len(pixels) // in_a_row)
    figure = new_figure(WIDTH, size * rows * (tall + caption))
    axes = figure.add_axes((0, 0, 1, 1))  # one for all: one for each takes ten times as long
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
    """Colour by heat, and a black and white line around the hottest quarter: for eyes and for print."""
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
