"""Single images of a report, with what speaks for the model's answer in each."""

from collections.abc import Sequence

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from src.report.images.grad_cam import heat_maps
from src.report.images.grid import as_pixels, draw_grid
from src.report.parts import Plot, Prose, Section

MAX_NAME_LENGTH = 14  # characters of a class name in a caption


def diverged(title: str, broken: int, total: int) -> Section:
    """In place of all others, if the answers for some images are not numbers."""
    text = f"The net's answer is not a number (NaN) for {broken:,} of {total:,} images."
    return Section(title, [Prose(text)], "The training diverged: try a lower learning rate.")


def examples(
    model: pl.LightningModule,
    title: str,
    images: Sequence[Tensor],
    outputs: np.ndarray,
    captions: list[str],
    note: str,
    question: str,
) -> list[Plot]:
    """Images side by side with heat maps; nothing without an image.

    Args:
        model: in evaluation mode.
        title: of the plot.
        images: (channels, height, width) each.
        outputs: (images,), the output of the net that each heat map explains.
        captions: of the images.
        note: how to read them.
        question: what the heat maps show and what to ask of them; empty if an earlier note has said it.
    """
    if not captions:
        return []
    batch = torch.stack(list(images))
    heat = heat_maps(model, batch, torch.from_numpy(outputs).to(batch.device))
    if question and heat is None:
        question = "There are no heat maps: no layer of this net keeps a map of the image."
    figure = draw_grid(as_pixels(batch), heat, captions)
    alt = f"{len(captions)} images: " + "; ".join(text.replace("\n", ", ") for text in captions)
    return [Plot(title, figure, alt, f"{note} {question}".rstrip())]
