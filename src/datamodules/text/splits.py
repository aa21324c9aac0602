"""Divides the text of files into a part to train on, one to validate on and one to test on."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from src.datamodules.text.source import Piece, TextFile, TextSource

SPLITS = ("train", "valid", "test")
MANY_FILES = 20  # each is a document that can be held out as a whole
MANY_ROWS = 10  # of a column, in the smallest part
LARGE = 1 << 27  # bytes; in larger texts no line is so long that a part would be empty


@dataclass(frozen=True)
class TextParts:
    """Parts of several texts, one after the other."""

    parts: list[TextSource]

    def __str__(self) -> str:
        return str(TextSource([file for part in self.parts for file in part.files]))

    def fingerprint(self) -> str:
        """Return a text that changes when a part changes."""
        return "\0".join(part.fingerprint() for part in self.parts)

    def pieces(self) -> Iterator[Piece]:
        """Read the parts; see TextSource."""
        for part in self.parts:
            yield from part.pieces()


Texts = TextSource | TextParts


def split_by_document(
    files: list[TextFile], valid_fraction: float, test_fraction: float, *, seed: int, exact: bool
) -> tuple[dict[str, Texts], str]:
    """Divide documents by chance, or each file where there are few; returns the splits and what is held out, in words.

    A document is a cell of a column, or one of 20 files or more. Of few, the end of each file is held out.
    """
    ends = _ends(valid_fraction, test_fraction)
    shares = f"{valid_fraction:.0%} of {{}} to validate on and {test_fraction:.0%} to test on"
    if files[0].column is not None and _has_lines(files, MANY_ROWS / min(valid_fraction, test_fraction)):
        ranges = zip(SPLITS, pairwise(ends), strict=True)
        splits: dict[str, Texts] = {
            name: TextSource([replace(file, drawn=(seed, low, high)) for file in files]) for name, (low, high) in ranges
        }
        return splits, f"{shares.format('the rows')}, drawn by seed {seed}"
    if files[0].column is None and len(files) >= MANY_FILES:
        drawn = _drawn([file.size() for file in files], {"test": test_fraction, "valid": valid_fraction}, seed)
        splits = {name: TextSource([files[n] for n in drawn[name]], exact=exact) for name in SPLITS}
        counts = f"{len(drawn['valid'])} of {len(files)} files to validate on and {len(drawn['test'])} to test on"
        return splits, f"{counts}, drawn by seed {seed}"
    each = [split_by_size([file], valid_fraction, test_fraction, exact) for file in files]
    of = "the text" if len(files) == 1 else f"each of {len(files)} files"
    told = f"{shares.format(of)}, its end"
    if any(part["train"].between != b"\n" for part in each):
        told += "; long lines are cut"
    if len(files) == 1:
        return {**each[0]}, told
    return {name: TextParts([part[name] for part in each]) for name in SPLITS}, told


def _drawn(sizes: list[int], fractions: dict[str, float], seed: int) -> dict[str, list[int]]:
    """The numbers of the files of each split, in their order: these fractions of the text and the files, or less."""
    left, found = np.random.default_rng(seed).permutation(len(sizes)).tolist(), {}
    for name, fraction in fractions.items():
        room, most, chosen = fraction * sum(sizes), math.ceil(fraction * len(sizes)), []
        for number in left:
            if sizes[number] <= 2 * room and len(chosen) < most:  # at least half of it fits
                chosen.append(number)
                room -= sizes[number]
        found[name] = sorted(chosen or [min(left, key=sizes.__getitem__)])
        left = [number for number in left if number not in found[name]]
    return {**found, "train": sorted(left)}


def _ends(valid_fraction: float, test_fraction: float) -> tuple[float, float, float, float]:
    ends = (0.0, 1 - valid_fraction - test_fraction, 1 - test_fraction, 1.0)
    if not min(valid_fraction, test_fraction) > 0 or not ends[1] > 0:
        raise ValueError(
            "datamodule.valid_fraction and test_fraction must be positive and leave text to train on, "
            f"got {valid_fraction=}, {test_fraction=}"
        )
    return ends


def split_by_size(
    files: list[TextFile], valid_fraction: float, test_fraction: float, exact: bool
) -> dict[str, TextSource]:
    """Divide the text of files: train on the beginning, validate on what follows, test on the end.

    Parts end with a line or, if one of them would be empty, with a word or any character.
    """
    ranges = dict(zip(SPLITS, pairwise(_ends(valid_fraction, test_fraction)), strict=True))

    def parts(between: bytes) -> dict[str, TextSource]:
        return {name: TextSource(files, *place, exact, between=between) for name, place in ranges.items()}

    if exact or sum(file.size() for file in files) > LARGE:
        return parts(b"\n")
    tried = map(parts, (b"\n", b" ", b""))
    return next((found for found in tried if all(map(_has_text, found.values()))), parts(b"\n"))


def _has_text(source: TextSource) -> bool:
    return next(source.pieces(), None) is not None


def _has_lines(files: list[TextFile], number: float) -> bool:
    lines = 0
    for block in (block for file in files for block in file.blocks()):
        lines += block.count(b"\n")
        if lines >= number:
            return True
    return False


def split_by_fold(
    files: list[TextFile], valid_fraction: float, *, fold: int, num_folds: int, exact: bool
) -> dict[str, TextSource]:
    """Divide the text of files: test on one of `num_folds` equal parts, validate on what follows it, train on the rest.

    The beginning of the text follows its end. `valid_fraction` is a share of what the fold leaves; 0: no `valid`.
    """
    if not 0 <= valid_fraction < 1:
        raise ValueError(f"datamodule.valid_fraction must leave text to train on, got {valid_fraction}")
    begin, end = fold / num_folds, (fold + 1) / num_folds
    after = 0.0 if fold == num_folds - 1 else end
    stop = after + valid_fraction * (1 - 1 / num_folds)
    held_out = {"valid": TextSource(files, after, stop, exact)} if valid_fraction else {}
    train = TextSource(files, stop, begin, exact) if after == 0 else TextSource(files, 0.0, 1.0, exact, (begin, stop))
    return {"train": train, **held_out, "test": TextSource(files, begin, end, exact)}
