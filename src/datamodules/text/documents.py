"""Finds where the documents of a text begin, such as articles, plays or rows."""

import re
from collections.abc import Iterable, Iterator
from itertools import chain, pairwise

from src.datamodules.text.source import MAX_LINE

MAX_LINES = 3  # that a match may span
NO_MATCH = "(?!)"  # a pattern that never matches: only files begin documents


def check_pattern(pattern: str) -> str:
    """Return the pattern. Raises ValueError if it is not a regular expression."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"datamodule.document_start must be a regular expression, got {pattern!r}: {error}") from error
    return pattern


def cut_at_documents(texts: Iterable[tuple[str, bool]], pattern: str) -> Iterator[tuple[str, bool]]:
    """Cut a text before each document, and yield each part with whether a document begins with it.

    A document begins with the first piece, with each file, and where the pattern matches.

    Args:
        texts: pieces of the text, and whether a file begins with each.
        pattern: a regular expression for up to 3 lines; ^ and $ match at the ends of a line.
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
    """Return the position up to which all matches are known; a match in the last lines may go on in the next piece."""
    head, *lines = text.rsplit("\n", MAX_LINES)
    if len(lines) == MAX_LINES:
        return len(head) + 1
    return len(text) if len(text) > MAX_LINE else 0


def _cut(text: str, stop: int, begins: bool, matches: re.Pattern[str]) -> Iterator[tuple[str, bool]]:
    """Yield the text before `stop` in parts; `begins` says whether the first one begins a document."""
    places = {match.start() for match in matches.finditer(text)} | ({0} if begins else set())
    for first, last in pairwise(sorted({0, stop, *(place for place in places if place < stop)})):
        yield text[first:last], first in places
