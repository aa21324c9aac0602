"""Turns text into token numbers and back, using only the plain data that a checkpoint holds.

A `spec` is {"vocab_size": int, "vocabulary": list of str, "tokenizer": {"name": str, ...}}. The tokenizers:
whitespace     words between white space, for text that is already tokenized; <eos> ends each line
basic_english  lower case, punctuation separated or dropped, like torchtext's tokenizer; <eos> ends each line
torchtext      torchtext's own basic_english, the same tokens; works only with torch 2.3
char           characters, including line ends
byte           the bytes of the text in UTF-8; the file may hold anything
bpe            byte pairs merged by frequency, learned from the text by the library `tokenizers`; nothing is unknown
"""

import io
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from itertools import repeat
from typing import Any, Literal, get_args

import numpy as np

TokenizerName = Literal["whitespace", "basic_english", "torchtext", "char", "byte", "bpe"]
TOKENIZERS: tuple[TokenizerName, ...] = get_args(TokenizerName)
UNKNOWN = "<unk>"
LINE_END = "<eos>"
APART = ".,()!?'"
DROPPED = ";:"

Encoder = Callable[[str], np.ndarray]  # any integer type


def encode(text: str, spec: dict[str, Any]) -> list[int]:
    """Return the numbers of a text's tokens. A line end is a token; the end of the text is not."""
    return encoder(spec)(text).tolist()


def decode(ids: Iterable[int], spec: dict[str, Any]) -> str:
    """Return the text of token numbers: the exact text for char, byte and bpe, words with spaces for the others.

    Raises ValueError if a number is not in the vocabulary.
    """
    numbers = [int(number) for number in ids]
    outside = [number for number in numbers if not 0 <= number < spec["vocab_size"]]
    if outside:
        raise ValueError(f"token numbers must be below the vocabulary's size {spec['vocab_size']}, got {outside[0]}")
    match spec["tokenizer"]["name"]:
        case "byte":
            return bytes(numbers).decode("utf-8", "replace")
        case "bpe":
            return _bpe(spec).decode(numbers, skip_special_tokens=False)
        case "char":
            return "".join(spec["vocabulary"][number] for number in numbers)
    tokens = ["\n" if spec["vocabulary"][number] == LINE_END else spec["vocabulary"][number] for number in numbers]
    return " ".join(tokens).replace(" \n", "\n").replace("\n ", "\n")


def encoder(spec: dict[str, Any]) -> Encoder:
    """Return a function from text to token numbers. Tokens after a line end do not depend on the text before it.

    Raises ValueError if the tokenizer is unknown.
    """
    name = check_name(spec["tokenizer"]["name"])
    numbers = {token: number for number, token in enumerate(spec["vocabulary"])}
    match name:
        case "byte":
            return _encode_bytes
        case "bpe":
            return partial(_encode_bpe, _bpe(spec))
        case "char":
            return partial(_encode_chars, _char_table(spec["vocabulary"], numbers[UNKNOWN]))
    return partial(_encode_words, name, numbers, numbers[UNKNOWN])


def check_name(name: str) -> TokenizerName:
    """Return the name. Raises ValueError if no tokenizer has it, or if torchtext is needed and cannot be imported."""
    if name == "torchtext":
        torchtext("data")
    for known in TOKENIZERS:
        if name == known:
            return known
    raise ValueError(f"datamodule.tokenizer must be one of {', '.join(TOKENIZERS)}, got {name}")


def split_lines(text: str) -> list[str]:
    """Return the lines with their ends; str.splitlines would split at other characters too."""
    return list(io.StringIO(text, newline="\n"))


def split_words(text: str, name: str) -> list[str]:
    """Return the words of a text, with <eos> for each line end."""
    text = text.replace("\n", f" {LINE_END} ")
    if name == "torchtext":
        return torchtext("data").get_tokenizer("basic_english")(text)
    if name == "basic_english":
        text = text.lower().replace('"', "").replace("<br />", " ")
        for character in APART:
            text = text.replace(character, f" {character} ")
        for character in DROPPED:
            text = text.replace(character, " ")
    return text.split()


def _encode_words(name: str, numbers: dict[str, int], unknown: int, text: str) -> np.ndarray:
    words = split_words(text, name)
    return np.fromiter(map(numbers.get, words, repeat(unknown)), np.uint32, len(words))


def torchtext(part: Literal["data", "vocab"]) -> Any:
    """Import a part of the library torchtext. Raises ValueError, with the versions, if that fails."""
    try:
        import_module("torchtext").disable_torchtext_deprecation_warning()
        return import_module(f"torchtext.{part}")
    except (ImportError, OSError) as error:  # OSError: its compiled part was built for another torch
        raise ValueError(
            f"torchtext cannot be imported (found {_version('torch')}, {_version('torchtext')}): its last "
            "release, 0.18.0, works only with torch 2.3, which `make test-torchtext` installs in its own environment; "
            "datamodule.tokenizer=basic_english and datamodule.vocab=own give the same tokens without it"
        ) from error


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"no {package}"


def without_torchtext(spec: dict[str, Any]) -> dict[str, Any]:
    """Return the spec with our own tokenizer instead of torchtext's: the same tokens, without the library."""
    is_torchtext = spec["tokenizer"]["name"] == "torchtext"
    return spec | {"tokenizer": {"name": "basic_english"}} if is_torchtext else spec


def code_points(text: str) -> np.ndarray:
    """Return the Unicode numbers of the characters."""
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


def _char_table(vocabulary: Sequence[str], unknown: int) -> np.ndarray:
    """Return a table from Unicode number to token number."""
    table = np.full(0x110000, unknown, np.uint32)
    for number, token in enumerate(vocabulary):
        if len(token) == 1:
            table[ord(token)] = number
    return table


def _encode_chars(table: np.ndarray, text: str) -> np.ndarray:
    return table[code_points(text)]


def _encode_bytes(text: str) -> np.ndarray:
    # Bytes that are not UTF-8 come as surrogates: see TokenStreams.
    return np.frombuffer(text.encode("utf-8", "surrogateescape"), np.uint8)


def _bpe(spec: dict[str, Any]) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_str(spec["tokenizer"]["model"])


def _encode_bpe(model: Any, text: str) -> np.ndarray:
    # Line by line: tokens must not depend on where a long text was cut into pieces.
    encoded = model.encode_batch_fast(split_lines(text))
    return np.fromiter((number for line in encoded for number in line.ids), np.uint32)
