"""Writes run_dir/report.html: what happened in a run, on one page."""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imread

from src.callbacks import clock
from src.callbacks.figure import takes_pictures, to_loggers
from src.core.output import warn
from src.core.sharding import is_sharded
from src.report.environment import save_environment
from src.report.parts import Plot, Prose, Section
from src.report.rows import split_of
from src.report.run import View, in_one_line, sections_of, write_report


class Report(pl.Callback):
    """Writes the page every so many minutes of a training, at its end, and after a test, with what the view then shows.

    view: what the domain adds, of the tested weights (those of the best checkpoint); where there is no test split, of
    those at the end of fit. Its pictures go to the loggers that take pictures, too. None: curves and scores only.
    The page is made of the files in run_dir: `python -m scripts.report RUN_DIR` makes it again.

    Rank 0 does it alone, the others go on until they need it. A page that cannot be written, or a view that fails, is a
    warning on stderr: a training's results are not at stake.
    """

    def __init__(self, *, run_dir: str, every_minutes: float, view: View | None = None) -> None:
        if not every_minutes > 0:
            raise ValueError(f"report.every_minutes must be positive, got {every_minutes}")
        self.run_dir = Path(run_dir)
        self.every_minutes = every_minutes
        self.view = view
        self._written = 0.0
        self._sections: list[Section] = []

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        path = self.run_dir / "environment.json"
        if trainer.is_global_zero and (stage == "fit" or not path.is_file()):
            save_environment(path, trainer.world_size, str(trainer.precision))
        self._sections = []

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._written = clock.now()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if clock.now() - self._written > 60 * self.every_minutes and trainer.is_global_zero:
            self._write()
            self._written = clock.now()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        datamodule = getattr(trainer, "datamodule", None)
        if datamodule is not None and split_of(datamodule) != "test":
            self._look(trainer, pl_module)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._look(trainer, pl_module)

    def _look(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Now, while the model is on its device: in teardown it is no more.
        datamodule = getattr(trainer, "datamodule", None)
        if self.view is None or datamodule is None or not trainer.is_global_zero:
            return
        if is_sharded(trainer):
            words = f"This rank has only its part of the model. python -m scripts.report {self.run_dir} shows it whole."
            self._sections = [Section("What the model has learned", [Prose(words)])]
            return
        self._sections = sections_of(self.view, lambda: (pl_module, datamodule))
        if any(map(takes_pictures, trainer.loggers)):
            for section in self._sections:
                for part in section.parts:
                    if isinstance(part, Plot):
                        to_loggers(pixels_of(part), f"{section.title}/{part.title}", trainer)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        # After all that other callbacks write at the end, and after the clock of run_metrics has stopped.
        if stage in ("fit", "test") and trainer.is_global_zero:
            self._write()

    def _write(self) -> None:
        try:
            write_report(self.run_dir, self._sections)
        except Exception as error:  # of whatever kind: see above
            warn(f"{self.run_dir / 'report.html'} is not written ({in_one_line(error)})")


def pixels_of(picture: Plot) -> np.ndarray:
    """A picture as uint8 (height, width, 3)."""
    if isinstance(picture.source, Figure):
        # A copy: what is drawn twice is laid out anew, and may move by a hair.
        canvas = FigureCanvasAgg(pickle.loads(pickle.dumps(picture.source)))
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[..., :3]
    pixels = imread(io.BytesIO(picture.source), format="png")  # within [0, 1]; grey ones have no channels
    pixels = np.atleast_3d(pixels)[..., :3]
    return (np.broadcast_to(pixels, (*pixels.shape[:2], 3)) * 255).round().astype(np.uint8)
