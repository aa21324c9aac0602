"""What callbacks that draw share: a figure's file, and its way to the loggers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from matplotlib.figure import Figure
from pytorch_lightning.loggers import TensorBoardLogger

from src.core.files import staged


def publish(figure: Figure, path: Path, trainer: pl.Trainer) -> None:
    """Write a figure to a file and give it to each logger that takes pictures, under the file's name."""
    with staged(path) as file:
        figure.savefig(file, format="png")
    to_loggers(np.asarray(figure.canvas.buffer_rgba())[..., :3], path.stem, trainer)  # pyright: ignore[reportAttributeAccessIssue]


def to_loggers(pixels: np.ndarray, name: str, trainer: pl.Trainer) -> None:
    """Give a picture, uint8 (height, width, 3), to each logger that takes pictures."""
    for logger in filter(takes_pictures, trainer.loggers):
        if isinstance(logger, TensorBoardLogger):
            logger.experiment.add_image(name, pixels, trainer.global_step, dataformats="HWC")
        else:
            logger.log_image(name, [pixels], trainer.global_step)  # pyright: ignore[reportAttributeAccessIssue]


def takes_pictures(logger: Any) -> bool:
    """Whether a logger is one for pictures, too."""
    return isinstance(logger, TensorBoardLogger) or hasattr(logger, "log_image")
