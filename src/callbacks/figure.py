"""Writes figures to files and sends them to loggers."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from pytorch_lightning import Trainer
from pytorch_lightning.loggers import TensorBoardLogger

from src.core.files import staged
from src.core.saving import saving


def publish(figure: Figure, path: Path, trainer: Trainer) -> None:
    """Write a figure as PNG and send it to each logger that takes images, under the file's name."""
    with saving(path), staged(path) as file:
        figure.savefig(file, format="png")
    send_image(np.asarray(figure.canvas.buffer_rgba())[..., :3], path.stem, trainer)  # pyright: ignore[reportAttributeAccessIssue]


def send_image(pixels: np.ndarray, name: str, trainer: Trainer) -> None:
    """Send an image, uint8 (height, width, 3), to each logger that takes images."""
    for logger in filter(takes_images, trainer.loggers):
        with saving(f"images of {type(logger).__name__}"):
            if isinstance(logger, TensorBoardLogger):
                logger.experiment.add_image(name, pixels, trainer.global_step, dataformats="HWC")
            else:
                logger.log_image(name, [pixels], trainer.global_step)  # pyright: ignore[reportAttributeAccessIssue]


def takes_images(logger: Any) -> bool:
    """Whether a logger takes images."""
    return isinstance(logger, TensorBoardLogger) or hasattr(logger, "log_image")
