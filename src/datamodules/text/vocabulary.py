"""Builds the vocabulary of a text: its tokens and their numbers."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, Literal, get_args

import numpy as np

from src.datamodules.text.tokenization import (
    LINE_END,
    UNKNOWN,
    check_name,
    code_points,
    split_lines,
    split_words,
    torchtext,
)

VocabName = Literal["own", "torchtext"]


def check_vocab(vocab: VocabName, tokenizer: str) -> VocabName:
    """Return the name. Raises ValueError for another one, or if torchtext does not fit or cannot be imported."""
    if vocab not in get_args(VocabName):
        raise ValueError(f"datamodule.vocab must be own or torchtext, got {vocab}")
    if vocab == "torchtext":
        if tokenizer in ("byte", "bpe"):
            raise ValueError(f"datamodule.vocab=torchtext counts words or characters, not tokens of {tokenizer=}")
        torchtext("vocab")
    return vocab


def build_spec(
    tokenizer: str,
    texts: Iterable[str],
    *,
    vocab: VocabName,
    min_freq: int,
    max_vocab_size: int | None,
    specials: list[str],
) -> dict[str, Any]:
    """Build a spec (see tokenization): special tokens, then the most frequent, equally frequent ones by Unicode.

    Args:
        tokenizer: its name; `byte` always has 256 tokens.
        texts: pieces of the training text.
        vocab: `own`, or torchtext's build_vocab_from_iterator, which finds the same.
        min_freq: rarer tokens become <unk>.
        max_vocab_size: the largest size, including specials; None means no limit. `bpe` merges until it is reached.
        specials: tokens to add even if the text lacks them.

    Raises:
        ValueError: if the tokenizer is unknown, the limits leave no room, or torchtext cannot be imported.
    """
    name = check_name(tokenizer)
    check_vocab(vocab, name)
    if min_freq < 1:
        raise ValueError(f"datamodule.min_freq must be positive, got {min_freq}")
    if name == "byte":
        if max_vocab_size is not None or specials:
            raise ValueError("tokenizer=byte always has 256 tokens: leave out datamodule.max_vocab_size and specials")
        return _spec([f"<0x{byte:02X}>" for byte in range(256)], {"name": name})
    if name == "bpe":
        return _bpe_spec(texts, min_freq, max_vocab_size, specials)
    own = [UNKNOWN] if name == "char" else [UNKNOWN, LINE_END]
    first = list(dict.fromkeys([*own, *specials]))
    if max_vocab_size is not None and max_vocab_size <= len(first):
        raise ValueError(f"datamodule.max_vocab_size must be above {len(first)}, got {max_vocab_size}")
    if vocab == "torchtext":
        pieces = texts if name == "char" else (split_words(text, name) for text in texts)
        return _spec(_torchtext_tokens(pieces, first, min_freq, max_vocab_size), {"name": name})
    counts = _count_characters(texts) if name == "char" else _count_words(texts, name)
    for token in first:
        counts.pop(token, None)
    kept = sorted((token for token in counts if counts[token] >= min_freq), key=lambda token: (-counts[token], token))
    return _spec([*first, *kept][:max_vocab_size], {"name": name})


def _spec(vocabulary: list[str], tokenizer: dict[str, Any]) -> dict[str, Any]:
    return {"vocab_size": len(vocabulary), "vocabulary": vocabulary, "tokenizer": tokenizer}


def _torchtext_tokens(
    pieces: Iterable[Iterable[str]], first: list[str], min_freq: int, max_size: int | None
) -> list[str]:
    # Without the special tokens: torchtext would count those in the text towards max_tokens a second time.
    apart = set(first)
    others = ([token for token in piece if token not in apart] for piece in pieces)
    build = torchtext("vocab").build_vocab_from_iterator
    return build(others, min_freq=min_freq, specials=first, max_tokens=max_size).get_itos()


def _count_words(texts: Iterable[str], name: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(split_words(text, name))
    return counts


def _count_characters(texts: Iterable[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for text in texts:
        codes, numbers = np.unique(code_points(text), return_counts=True)
        counts.update(dict(zip(map(chr, codes.tolist()), numbers.tolist(), strict=True)))
    return counts


def _bpe_spec(texts: Iterable[str], min_freq: int, max_vocab_size: int | None, specials: list[str]) -> dict[str, Any]:
    """Merge byte pairs within words; a word begins with its space (Radford et al. 2019, GPT-2, section 2.2)."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    min_size = 256 + len(specials)
    if max_vocab_size is None or max_vocab_size <= min_size:
        raise ValueError(f"tokenizer=bpe needs datamodule.max_vocab_size above {min_size}, got {max_vocab_size}")
    model = Tokenizer(models.BPE())
    model.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyright: ignore
    model.decoder = decoders.ByteLevel()  # pyright: ignore
    trainer = trainers.BpeTrainer(
        vocab_size=max_vocab_size,
        min_frequency=min_freq,
        special_tokens=specials,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    model.train_from_iterator(map(split_lines, texts), trainer)
    numbers = model.get_vocab()
    return _spec(sorted(numbers, key=numbers.__getitem__), {"name": "bpe", "model": model.to_str()})
