"""What a program tells its user: results on stdout, notes and warnings on stderr. Without torch.

`quiet=true` keeps stdout empty. Notes and warnings are always shown: they say what differs from what was asked.
"""

import atexit
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_quiet = False
_loses_output = False


def set_quiet(quiet: bool) -> None:
    """Choose whether this process shows results."""
    global _quiet  # noqa: PLW0603  one channel for the whole process
    _quiet = quiet


def is_quiet() -> bool:
    """Whether this process hides results."""
    return _quiet


def set_loses_output(loses: bool) -> None:
    """Choose whether this process goes on if it cannot write to stdout, such as into a file on a full disk."""
    global _loses_output  # noqa: PLW0603  one channel for the whole process
    _loses_output = loses


@atexit.register
def _drop_unwritten() -> None:
    """Leave what stdout and stderr still hold if it cannot be written: Python's exit status would be 120."""
    for name in ("stdout", "stderr") if _loses_output else ():
        try:
            getattr(sys, name).flush()
        except OSError:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  until the process ends


@contextmanager
def _survived() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if not _loses_output:
            raise
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  what the old one holds would fail again
        warn(f"cannot write to stdout: {error.strerror}")


def show(text: object = "", *, end: str = "\n") -> None:
    """Print a result on stdout."""
    if not _quiet:
        with _survived():
            print(text, end=end, flush=True)


def show_rich(renderable: Any, **choices: Any) -> None:
    """Print a rich table or tree on stdout.

    Args:
        renderable: what rich can print.
        **choices: arguments of rich.console.Console, such as width.
    """
    from rich.console import Console  # a tenth of a second that --help does not wait for

    if not _quiet:
        with _survived():
            Console(highlight=False, **choices).print(renderable)


def note(text: str) -> None:
    """Say on stderr what was left out, guessed or changed."""
    _write(f"note: {text}\n")


def warn(text: str) -> None:
    """Say on stderr what went wrong while the program goes on."""
    _write(f"warning: {text}\n")


def _write(text: str) -> None:
    with suppress(OSError):  # stderr may be a file on a full disk: nobody can be told
        sys.stderr.write(text)
