"""The progress bar of a long data step; it is hidden where there is no terminal."""

from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text


class Speed(ProgressColumn):
    """How fast the last steps were: `1,200 rows/s`."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} {self.unit}/s", style="cyan")


def progress_bar(unit: str) -> Progress:
    """Make a bar with a name, how much is done, how fast, and the time left.

    Args:
        unit: what is counted, such as "rows"; "bytes" are shown as kB, MB or GB.
    """
    done, speed = (DownloadColumn(), TransferSpeedColumn()) if unit == "bytes" else (MofNCompleteColumn(), Speed(unit))
    bar = Progress(TextColumn("{task.description}"), BarColumn(), done, speed, TimeRemainingColumn())
    bar.disable = not bar.console.is_terminal
    return bar
