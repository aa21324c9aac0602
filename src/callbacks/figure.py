"""What callbacks that draw share: a figure without global state, its file, and its way to the loggers."""

import os
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from pytorch_lightning.loggers import TensorBoardLogger


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches. It draws by itself, whatever matplotlib's backend; pyplot never hears of it."""
    figure = Figure(figsize=(width, height), dpi=100)
    FigureCanvasAgg(figure)
    return figure


def publish(figure: Figure, path: Path, trainer: pl.Trainer) -> None:
    """Write a figure to a file and give it to each logger that takes pictures, under the file's name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_suffix(".tmp")
    figure.savefig(staged, format="png")
    os.replace(staged, path)
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            pixels = np.asarray(figure.canvas.buffer_rgba())  # pyright: ignore[reportAttributeAccessIssue]
            logger.experiment.add_image(path.stem, pixels[..., :3], trainer.global_step, dataformats="HWC")
        elif hasattr(logger, "log_image"):
            logger.log_image(path.stem, [str(path)], trainer.global_step)  # pyright: ignore[reportAttributeAccessIssue]
