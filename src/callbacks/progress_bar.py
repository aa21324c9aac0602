"""Shows a training in a terminal: one bar with its speed, and a line of scores for each epoch."""

import sys
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import RichProgressBar
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from src.callbacks import clock
from src.core.output import is_quiet, show


class Speed(ProgressColumn):
    """Samples or tokens per second over all ranks, in the last seconds."""

    max_refresh = 0.5  # seconds: nobody can read faster changes

    def __init__(self, trainer: Trainer) -> None:
        super().__init__(Column(width=18, justify="right", no_wrap=True))
        self.trainer = trainer

    def render(self, task: Task) -> Text:
        datamodule = getattr(self.trainer, "datamodule", None)
        batch_size, bptt = getattr(datamodule, "batch_size", None), getattr(datamodule, "bptt", None)
        speed = task.finished_speed or task.speed
        if speed is None or batch_size is None:
            return Text("")
        size, unit = (batch_size, "samples") if bptt is None else (batch_size * bptt, "tokens")
        return Text(f"{speed * size * self.trainer.world_size:,.0f} {unit}/s", style="cyan")


class ProgressBar(RichProgressBar):
    """Lightning's rich bar with its speed, in 80 columns; hidden if stdout is not a terminal.

    As in fast.ai, a line of scores for each epoch stays in view.
    """

    def __init__(self) -> None:
        super().__init__(refresh_rate=5)
        self._header = ""
        if not sys.stdout.isatty() or is_quiet():
            self.disable()

    def configure_columns(self, trainer: Trainer) -> list:
        return [
            TextColumn("{task.description}", table_column=Column(width=13, no_wrap=True)),
            BarColumn(bar_width=20, complete_style="cyan", finished_style="cyan"),
            TextColumn("{task.completed:>5.0f}/{task.total:.0f}", table_column=Column(no_wrap=True)),
            TimeRemainingColumn(compact=True),
            Speed(trainer),
        ]

    def _get_train_description(self, current_epoch: int) -> str:
        last = self.trainer.max_epochs
        # Without a bound of epochs Lightning would count to -2.
        return f"Epoch {current_epoch}" + ("" if last in (None, -1) else f"/{last - 1}")

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """No scores beside the bar: the line would wrap."""
        return {}

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.is_enabled:
            sizes = [parameter.numel() for parameter in pl_module.parameters() if parameter.requires_grad]
            net = type(getattr(pl_module, "net", pl_module)).__name__
            show(f"{net}: {sum(sizes):,} trainable parameters in {len(sizes)} tensors")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._epoch_started = clock.now()  # a run that resumes within an epoch gets no on_train_epoch_start
        super().on_train_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._epoch_started = clock.now()
        super().on_train_epoch_start(trainer, pl_module)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validation_started = clock.now()
        super().on_validation_start(trainer, pl_module)

    def on_validation_batch_end(self, *args: Any, **kwargs: Any) -> None:
        # A bar that disappears within a second only flickers.
        if clock.now() - self._validation_started > 1:
            super().on_validation_batch_end(*args, **kwargs)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        if self.progress is None or self.is_disabled:
            return
        seconds = clock.now() - self._epoch_started
        shown = {"train/loss": trainer.callback_metrics.get("train/loss"), **trainer.progress_bar_metrics}
        scores = {name: float(value) for name, value in shown.items() if value is not None}
        header, line = table_lines(trainer.current_epoch, scores, seconds, self.progress.console.width)
        if header != self._header:
            self._header = header
            self.progress.console.print(header, style="bold", highlight=False)
        self.progress.console.print(line, highlight=False)


def table_lines(epoch: int, scores: dict[str, float], seconds: float, width: int) -> tuple[str, str]:
    """The header and the line of one epoch: as many scores as fit the width, then the time."""
    header, line = "epoch", f"{epoch:5d}"
    for name, value in scores.items():
        size = max(len(name), 9)
        if len(header) + 2 + size + 8 <= width:
            header += f"  {name:>{size}}"
            line += f"  {value:>{size}.4g}"
    minutes, rest = divmod(round(seconds), 60)
    return f"{header}  {'time':>6}", f"{line}  {f'{minutes}:{rest:02d}':>6}"
