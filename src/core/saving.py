"""What happens if the system cannot write a file of a run: trainer.on_save_error. Without torch."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from src.core.output import set_loses_output, warn

_continues = False
_told: set[str] = set()  # what could not be written the last time


class SaveError(OSError):
    """A file of a run could not be written; the message is for the user."""


def set_on_save_error(choice: str) -> None:
    """Choose for this process whether a run that cannot write a file stops, or continues with a warning."""
    global _continues  # noqa: PLW0603  one disk for the whole process
    if choice not in ("stop", "continue"):
        raise ValueError(f"trainer.on_save_error must be stop or continue, got {choice}")
    _continues = choice == "continue"
    set_loses_output(_continues)
    _told.clear()


@contextmanager
def saving(what: str | Path) -> Iterator[None]:
    """Let the block write a file; if the system cannot, end the run in one line, or warn once until it can again.

    Raises:
        SaveError: the system cannot write it, and the run is to stop.
    """
    try:
        yield
    except OSError as error:
        words = f"cannot save {what}: {error.strerror or error}"
        if not _continues:
            raise SaveError(words) from error
        if str(what) not in _told:
            warn(f"{words}; the training continues")
        _told.add(str(what))
    else:
        _told.discard(str(what))
