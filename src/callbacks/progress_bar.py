"""Rich progress bars that say how fast: samples a second, and the time left."""

import sys

import pytorch_lightning as pl
from pytorch_lightning.callbacks import RichProgressBar
from rich.progress import ProgressColumn, Task
from rich.text import Text


class SamplesPerSecond(ProgressColumn):
    """Rows handled a second by all ranks, over the last seconds."""

    def __init__(self, trainer: pl.Trainer) -> None:
        super().__init__()
        self.trainer = trainer

    def render(self, task: Task) -> Text:
        batch_size = getattr(getattr(self.trainer, "datamodule", None), "batch_size", None)
        speed = task.finished_speed or task.speed
        if speed is None or batch_size is None:
            return Text("")
        return Text(f"{speed * batch_size * self.trainer.world_size:,.0f} samples/s", style="cyan")


class ProgressBar(RichProgressBar):
    """Lightning's rich bars with samples a second in place of batches a second; nothing where no terminal is."""

    def __init__(self) -> None:
        super().__init__(refresh_rate=5)
        if not sys.stdout.isatty():
            self.disable()

    def configure_columns(self, trainer: pl.Trainer) -> list:
        return [*super().configure_columns(trainer)[:-1], SamplesPerSecond(trainer)]
