"""Finds where the documents of a text begin: articles, plays, rows."""

import re
from collections.abc import Iterable, Iterator
from itertools import chain, pairwise

from src.datamodules.text.source import LONGEST_LINE

SPAN = 3  # lines that a pattern may match together
NOWHERE = "(?!)"  # matches nothing: documents begin with files alone


def check_pattern(pattern: str) -> str:
    """Raises ValueError if the pattern is no regular expression."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"datamodule.document_start must be a regular expression, got {pattern!r}: {error}") from error
    return pattern


def cut_at_documents(texts: Iterable[tuple[str, bool]], pattern: str) -> Iterator[tuple[str, bool]]:
    """The same text, cut before each document: (text, whether a document begins with it).

    texts: pieces, and whether a file begins with each. A document begins with the first piece, with each file, and
    where the pattern matches.  pattern: a regular expression for up to 3 lines, whose ^ and $ are a line's ends.
    """
    matches = re.compile(pattern, re.MULTILINE)
    held, begins = "", True
    for text, is_new_file in chain(texts, [("", True)]):
        if is_new_file:
            yield from _cut(held, len(held), begins, matches)
            held, begins = "", True
        held += text
        stop = _stop(held)
        if stop:
            yield from _cut(held, stop, begins, matches)
            held, begins = held[stop:], False


def _stop(text: str) -> int:
    """Up to where all matches are seen: the last lines may be the beginning of one that goes on in the next piece."""
    head, *lines = text.rsplit("\n", SPAN)
    if len(lines) == SPAN:
        return len(head) + 1
    return len(text) if len(text) > LONGEST_LINE else 0


def _cut(text: str, stop: int, begins: bool, matches: re.Pattern[str]) -> Iterator[tuple[str, bool]]:
    """What stands before `stop`, in parts; the first one begins a document if `begins` says so."""
    places = {match.start() for match in matches.finditer(text)} | ({0} if begins else set())
    for first, last in pairwise(sorted({0, stop, *(place for place in places if place < stop)})):
        yield text[first:last], first in places
