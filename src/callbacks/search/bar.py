"""The progress bar of a finder, in place of the training's."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytorch_lightning as pl
from rich.progress import Progress


@contextmanager
def search_bar(trainer: pl.Trainer, title: str, total: int) -> Iterator[Callable[[], None]]:
    """A bar of `total` steps on the first rank's terminal; yields what moves it by one."""
    training_bar = getattr(trainer.progress_bar_callback, "progress", None)
    is_shown = isinstance(training_bar, Progress)
    if is_shown:  # it rests: its thread asks for the trainer's callbacks, which a search hides
        training_bar.live.transient = True
        training_bar.stop()
    try:
        with Progress(disable=not (trainer.is_global_zero and sys.stdout.isatty()), transient=True) as progress:
            task = progress.add_task(title, total=total)
            yield lambda: progress.advance(task)
    finally:
        if is_shown:
            training_bar.live.transient = False
            training_bar.start()
