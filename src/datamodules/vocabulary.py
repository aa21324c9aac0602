"""Finds the vocabulary of a text: which tokens it has, and the number of each."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

from src.datamodules.tokenization import LINE_END, UNKNOWN, check_name, code_points, split_lines, split_words


def build_spec(
    tokenizer: str, texts: Iterable[str], *, min_freq: int, max_vocab_size: int | None, specials: list[str]
) -> dict[str, Any]:
    """A spec (see tokenization) for texts: special tokens, then the most frequent first, equals in Unicode's order.

    min_freq: tokens that are rarer become <unk>.  max_vocab_size: so many at most, specials among them; `bpe` merges
    until it has as many.  specials: tokens to add that the text may lack. Bytes are always the 256 that there are.
    Raises ValueError if the tokenizer is unknown or the limits leave no room.
    """
    name = check_name(tokenizer)
    if min_freq < 1:
        raise ValueError(f"datamodule.min_freq must be positive, got {min_freq}")
    if name == "byte":
        if max_vocab_size is not None or specials:
            raise ValueError(
                "tokenizer=byte has 256 tokens, no more and no less: leave max_vocab_size and specials out"
            )
        return _spec([f"<0x{byte:02X}>" for byte in range(256)], {"name": name})
    if name == "bpe":
        return _bpe_spec(texts, min_freq, max_vocab_size, specials)
    own = [UNKNOWN] if name == "char" else [UNKNOWN, LINE_END]
    first = list(dict.fromkeys([*own, *specials]))
    if max_vocab_size is not None and max_vocab_size <= len(first):
        raise ValueError(f"datamodule.max_vocab_size must be above {len(first)}, got {max_vocab_size}")
    counts = _count_characters(texts) if name == "char" else _count_words(texts, name)
    for token in first:
        counts.pop(token, None)
    kept = sorted((token for token in counts if counts[token] >= min_freq), key=lambda token: (-counts[token], token))
    return _spec([*first, *kept][:max_vocab_size], {"name": name})


def _spec(vocabulary: list[str], tokenizer: dict[str, Any]) -> dict[str, Any]:
    return {"vocab_size": len(vocabulary), "vocabulary": vocabulary, "tokenizer": tokenizer}


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
    """Byte pairs merged within words, a word beginning with its space (Radford et al. 2019, GPT-2, section 2.2)."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    least = 256 + len(specials)
    if max_vocab_size is None or max_vocab_size <= least:
        raise ValueError(f"tokenizer=bpe merges up to datamodule.max_vocab_size, above {least}, got {max_vocab_size}")
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
