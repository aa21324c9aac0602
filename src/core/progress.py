"""The bar of a long data step; nothing where no terminal is."""

from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn


def progress_bar(amount: ProgressColumn, speed: ProgressColumn) -> Progress:
    """A name, a bar, how much, how fast, and the time left."""
    bar = Progress(TextColumn("{task.description}"), BarColumn(), amount, speed, TimeRemainingColumn())
    bar.disable = not bar.console.is_terminal
    return bar
