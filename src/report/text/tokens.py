"""What a report calls a text's tokens."""

from dataclasses import dataclass
from typing import Any

import numpy as np

LINE_END = "↵"
CHUNK = 1 << 20  # tokens of a memory map that are counted at one time


@dataclass(frozen=True)
class Tokens:
    """The vocabulary as a reader sees it: names, counts in the training text, and what stands between two tokens."""

    names: list[str]
    counts: np.ndarray
    between: str


def tokens_of(datamodule: Any) -> Tokens:
    """The vocabulary of a datamodule with `spec` and `tokens`, a stream of numbers for each split."""
    spec = datamodule.spec
    kind = spec["tokenizer"]["name"]
    between = "" if kind in ("char", "byte", "bpe") else " "
    return Tokens(_names(spec["vocabulary"], kind), _counts(datamodule.tokens["train"], spec["vocab_size"]), between)


def _names(vocabulary: list[str], kind: str) -> list[str]:
    if kind == "byte":
        vocabulary = [bytes([number]).decode("utf-8", "replace") for number in range(256)]
    if kind == "bpe":
        from tokenizers.decoders import ByteLevel

        decoder = ByteLevel()
        vocabulary = [decoder.decode([token]) for token in vocabulary]
    return [LINE_END if name == "<eos>" else name.replace("\n", LINE_END) for name in vocabulary]


def _counts(stream: np.ndarray, vocab_size: int) -> np.ndarray:
    pieces = (stream[start : start + CHUNK] for start in range(0, len(stream), CHUNK))
    return sum((np.bincount(piece, minlength=vocab_size) for piece in pieces), np.zeros(vocab_size, np.int64))
