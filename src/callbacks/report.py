"""Writes run_dir/report.html, one page about a run."""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread
from pytorch_lightning import Callback, LightningModule, Trainer

from src.callbacks import clock
from src.callbacks.figure import send_image, takes_images
from src.core.output import warn
from src.core.saving import saving
from src.core.sharding import is_sharded
from src.report.environment import save_environment
from src.report.parts import Plot, Prose, Section
from src.report.rows import split_of
from src.report.run import View, in_one_line, sections_of, write_report


class Report(Callback):
    """Writes the page regularly during a training, at its end, and after a test.

    The page is built from the files in run_dir; `python -m scripts.report RUN_DIR` builds it again. Only rank 0 writes
    it, and the other ranks do not wait. If a page cannot be written or a view fails, there is only a warning.

    Args:
        run_dir: the run's folder.
        every_minutes: time between two pages while training, above 0.
        view: what the domain adds about the tested weights, which are those of the best checkpoint; without a test
            split, about the weights at the end of fit. Loggers that take images get its figures. None for only scores
            and curves.
    """

    def __init__(self, *, run_dir: str, every_minutes: float, view: View | None = None) -> None:
        if not every_minutes > 0:
            raise ValueError(f"report.every_minutes must be positive, got {every_minutes}")
        self.run_dir = Path(run_dir)
        self.every_minutes = every_minutes
        self.view = view
        self._written = 0.0
        self._sections: list[Section] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        path = self.run_dir / "environment.json"
        if trainer.is_global_zero and (stage == "fit" or not path.is_file()):
            with saving(path):
                save_environment(path, trainer.world_size, str(trainer.precision))
        self._sections = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._written = clock.now()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if clock.now() - self._written > 60 * self.every_minutes and trainer.is_global_zero:
            self._write()
            self._written = clock.now()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        datamodule = getattr(trainer, "datamodule", None)
        if datamodule is not None and split_of(datamodule) != "test":
            self._look(trainer, pl_module)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._look(trainer, pl_module)

    def _look(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Not in teardown: there the model has left its device.
        datamodule = getattr(trainer, "datamodule", None)
        if self.view is None or datamodule is None or not trainer.is_global_zero:
            return
        if is_sharded(trainer):
            words = f"Each rank holds a part of the model. python -m scripts.report {self.run_dir} shows it whole."
            self._sections = [Section("What the model has learned", [Prose(words)])]
            return
        self._sections = sections_of(self.view, lambda: (pl_module, datamodule))
        if any(map(takes_images, trainer.loggers)):
            for section in self._sections:
                for part in section.parts:
                    if isinstance(part, Plot):
                        send_image(pixels_of(part), f"{section.title}/{part.title}", trainer)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        # After other callbacks have written their files and run_metrics has stopped its clock.
        if stage in ("fit", "test") and trainer.is_global_zero:
            self._write()

    def _write(self) -> None:
        try:
            with saving(self.run_dir / "report.html"):
                write_report(self.run_dir, self._sections)
        except Exception as error:  # see the class: a report must not end a training
            warn(f"{self.run_dir / 'report.html'} is not written ({in_one_line(error)})")


def pixels_of(plot: Plot) -> np.ndarray:
    """A figure or image as uint8 (height, width, 3)."""
    if isinstance(plot.source, Figure):
        # A copy: drawing a figure twice changes its layout slightly.
        canvas = FigureCanvasAgg(pickle.loads(pickle.dumps(plot.source)))
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3]
    pixels = imread(io.BytesIO(plot.source), format="png")  # within [0, 1]; grey images have no channels
    pixels = np.atleast_3d(pixels)[..., :3]
    return (np.broadcast_to(pixels, (*pixels.shape[:2], 3)) * 255).round().astype(np.uint8)
