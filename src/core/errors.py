"""The error for a user's mistake, and the words for errors."""

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONF = ROOT / "conf"


class ConfigError(ValueError):
    """A mistake in a config or on the command line; the message is for the user."""


def first_line(error: BaseException) -> str:
    """The first line of an error's message."""
    return str(error).strip().split("\n")[0]


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean X?` for the known word that is most like this one; empty if none is like it."""
    known = [str(k) for k in known]
    same_end = [k for k in known if k.endswith(f".{word}")]  # a key without its path: lr for model.lr
    match = same_end[:1] or difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {match[0]}?" if match else ""


def named(names: Sequence[str], most: int = 10) -> str:
    """The names in a row; of many, the first ones and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
