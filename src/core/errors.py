"""The error for a user's mistake, and the word that was probably meant."""

import difflib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONF = ROOT / "conf"


class ConfigError(ValueError):
    """A mistake in a config or on the command line, worded for the person who made it."""


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean X?` for the known word most like this one, or nothing if none is like it."""
    known = [str(k) for k in known]
    # A key given without its path (lr for model.lr) is as good as right.
    same_end = [k for k in known if k.endswith(f".{word}")]
    match = same_end[:1] or difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {match[0]}?" if match else ""
