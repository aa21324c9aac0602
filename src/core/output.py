"""What a program tells its user: results on stdout, notes and warnings on stderr. Without torch.

`quiet=true` keeps stdout empty. Notes and warnings are always shown: they say what differs from what was asked.
"""

import sys
from typing import Any

_quiet = False


def set_quiet(quiet: bool) -> None:
    """Choose whether this process shows results."""
    global _quiet  # noqa: PLW0603  one channel for the whole process
    _quiet = quiet


def is_quiet() -> bool:
    """Whether this process hides results."""
    return _quiet


def show(text: object = "", *, end: str = "\n") -> None:
    """Print a result on stdout."""
    if not _quiet:
        print(text, end=end, flush=True)


def show_rich(renderable: Any, **choices: Any) -> None:
    """Print a rich table or tree on stdout.

    Args:
        renderable: what rich can print.
        **choices: arguments of rich.console.Console, such as width.
    """
    from rich.console import Console  # a tenth of a second that --help does not wait for

    if not _quiet:
        Console(highlight=False, **choices).print(renderable)


def note(text: str) -> None:
    """Say on stderr what was left out, guessed or changed."""
    sys.stderr.write(f"note: {text}\n")


def warn(text: str) -> None:
    """Say on stderr what went wrong while the program goes on."""
    sys.stderr.write(f"warning: {text}\n")
