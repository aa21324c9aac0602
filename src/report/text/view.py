"""What a report says of a language model."""

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import pytorch_lightning as pl
from markupsafe import Markup

from src.report.parts import Part, Picture, Prose, Section, Table
from src.report.rows import split_of
from src.report.text.difficulty import (
    Bin,
    by_frequency,
    by_position,
    draw_frequencies,
    draw_positions,
    draw_shares,
    shares_of,
)
from src.report.text.embedding import content_words, draw_map, neighbours, numbers_of
from src.report.text.losses import TextLosses, losses_of
from src.report.text.sentences import coloured, legend, sentences_of
from src.report.text.tokens import LINE_END, Tokens, tokens_of

NUM_WORDS = 12
PERPLEXITY = "Perplexity, e to the power of the loss, says among how many equally likely tokens it would be as unsure."
COLOURED = (
    "The less probable the net held a token, the stronger its colour and the thicker the line below it; rest the mouse "
    "on it to see the numbers. Look for what they share: names, numbers, rare words, a style the training text lacks."
)


class TextView:
    """What is hard for the model, the hardest sentences, what it writes, and which words it takes for alike.

    The model has `token_losses`, `continued`, and a net with an `embedding` and a `decoder`; the datamodule has `spec`,
    `tokens`, `encode` and `decode`.
    max_tokens: of the text that are read.  num_sentences: the hardest ones.  prompts, temperatures, length: what is
    continued, how boldly, and by how many tokens.  words: whose neighbours are shown; frequent ones if
    None, or if the vocabulary has none of them.
    """

    def __init__(
        self,
        *,
        max_tokens: int,
        num_sentences: int,
        prompts: Sequence[str],
        temperatures: Sequence[float],
        length: int,
        words: Sequence[str] | None,
    ) -> None:
        """Raises ValueError if a number is not positive, a temperature negative, or there is no prompt to continue."""
        if min(max_tokens, num_sentences, length) < 1:
            raise ValueError(
                f"a view of text needs one of each at least, got {max_tokens=}, {num_sentences=}, {length=}"
            )
        if not prompts or not all(prompts) or not temperatures or min(temperatures) < 0:
            raise ValueError(
                "a view of text needs prompts that are not empty, and temperatures from 0 on, "
                f"got {prompts=}, {temperatures=}"
            )
        self.max_tokens = max_tokens
        self.num_sentences = num_sentences
        self.prompts = list(prompts)
        self.temperatures = list(temperatures)
        self.length = length
        self.words = words

    def sections(self, model: pl.LightningModule, datamodule: pl.LightningDataModule) -> list[Section]:
        text = losses_of(model, datamodule, self.max_tokens)
        if not math.isfinite(text.mean):
            words = "The losses of the text are no numbers (NaN) or infinite."
            return [Section("What is hard for it", [Prose(words)], "Its training diverged: try a lower learning rate.")]
        tokens = tokens_of(datamodule)
        note = _what_was_read(model, datamodule, text)
        return [
            Section("What is hard for it", _difficulty(model, datamodule, text, tokens), f"{note} {PERPLEXITY}"),
            Section("Sentences, token by token", _sentences(text, tokens, self.num_sentences), f"{note} {COLOURED}"),
            Section("What it writes", [self._samples(model, datamodule)]),
            Section("Which words it takes for alike", [self._embedding(model, tokens)]),
        ]

    def _samples(self, model: Any, datamodule: Any) -> Table:
        rows = []
        for seed, (prompt, temperature) in enumerate(product(self.prompts, self.temperatures)):
            start = datamodule.encode(prompt)
            drawn = model.continued(start, self.length, temperature=temperature, seed=seed)
            text = datamodule.decode([*start, *drawn]).replace("\n", f" {LINE_END} ")
            rows.append((prompt, f"{temperature:g}", text))
        return Table(
            f"{self.length} tokens after each prompt",
            ("prompt", "temperature", "text"),
            rows,
            "Each next token is drawn by the model's probabilities. Below a temperature of 1 likely ones become "
            "likelier: the text is safe and repeats itself; above 1 it is bold, and breaks more rules.",
        )

    def _embedding(self, model: Any, tokens: Tokens) -> Part:
        embedding = model.net.embedding.weight.detach().float().cpu().numpy()
        chosen = numbers_of(self.words or [], tokens) or content_words(tokens, NUM_WORDS)
        if not chosen:
            return Picture(
                "A map of the tokens",
                draw_map(embedding, tokens),
                "The most frequent tokens, at the first two principal components of their embedding vectors",
                "Each token is a vector of numbers that the training found; here are the two directions in which they "
                "differ most. Tokens that stand in like places, such as the vowels, come to lie together.",
            )
        return Table(
            "Nearest neighbours",
            ("word", "times in the training text", "closest words, with the cosine of the angle between both vectors"),
            neighbours(embedding, chosen, tokens),
            "Each word is a vector of numbers that the training found. Words used alike come to point the same way "
            "(cosine 1); 0 is no likeness. Neighbours without sense: the training was short, or the word is "
            "rare. ␣ is a space.",
        )


def _what_was_read(model: Any, datamodule: pl.LightningDataModule, text: TextLosses) -> str:
    split = {"test": "test", "val": "validation"}[split_of(datamodule)]
    looked_at = int(text.counted.sum())
    note = f"All {looked_at:,} tokens of the {split} text"
    if looked_at < text.total:
        note = f"{looked_at:,} of {text.total:,} tokens of the {split} text"
    tracks = text.losses.shape[1]
    note += f", read in {tracks} tracks side by side: loss {text.mean:.3f}, perplexity {math.exp(text.mean):,.1f}."
    if getattr(model, "cache", None) is not None or getattr(model, "dynamic", None) is not None:
        note += " This is the net by itself, without neural cache and dynamic evaluation."
    return note


def _difficulty(
    model: pl.LightningModule, datamodule: pl.LightningDataModule, text: TextLosses, tokens: Tokens
) -> list[Part]:
    frequencies = by_frequency(text, tokens.counts)
    return [*_positions(by_position(model, datamodule, text), text.mean), *_frequencies(frequencies), _guesses(text)]


def _positions(bins: list[Bin], mean: float) -> list[Part]:
    if not bins:
        return [Prose("The text that was read is too short to say how far back the net makes use of it.")]
    first, last = (math.exp(bins[place].loss) for place in (0, -1))
    return [
        Picture(
            "Perplexity by position",
            draw_positions(bins, mean),
            f"Perplexity falls from {first:.4g} after {bins[0].name} token to {last:.4g} after {bins[-1].name}; with "
            f"all that went before it is {math.exp(mean):.4g}",
            "The perplexity, had the net begun to read only so many tokens ago (bars: one standard error). Where the "
            "curve is flat, older words no longer help: the net has not learned to use them.",
        )
    ]


def _frequencies(bins: list[Bin]) -> list[Part]:
    perplexities = (f"{each.name}: {math.exp(each.loss):.4g}" for each in bins)
    names = (each.name for each in bins)
    shares = (f"{name}: {a:.0%}, {b:.0%}" for name, a, b in zip(names, *shares_of(bins).values(), strict=True))
    return [
        Picture(
            "Perplexity by word frequency",
            draw_frequencies(bins),
            f"Perplexity by how often a token stands in the training text. {'; '.join(perplexities)}",
            "Bars: one standard error. What it has seldom read is hard; more text helps there, and for words a "
            "vocabulary of their pieces (tokenizer=bpe).",
        ),
        Picture(
            "Where the loss comes from",
            draw_shares(bins),
            "Share of the tokens, and of the loss, by how often a token stands in the training text. "
            f"{'; '.join(shares)}",
            "Where the second bar is the longer one, tokens cost more than their share.",
        ),
    ]


def _guesses(text: TextLosses) -> Table:
    within = {"the first guess": 1, "among the first 5": 5, "among the first 10": 10}
    right = (text.ranks < 1).mean()
    return Table(
        "Is the next token among its guesses?",
        ("the true token is", "share of the tokens"),
        [(name, f"{(text.ranks < number).mean():.1%}") for name, number in within.items()],
        f"Of {len(text.ranks):,} tokens, evenly spread. The net gives its first guess a probability of "
        f"{text.confidences.mean():.1%} on average, and is right {right:.1%} of the time: if the first were "
        "far above the second, it would be too sure of itself.",
    )


def _sentences(text: TextLosses, tokens: Tokens, number: int) -> list[Part]:
    found = sentences_of(text, tokens)
    if not found:
        return [Prose("The text that was read holds no whole sentence of 40 to 300 characters.")]
    hardest = [coloured(sentence, tokens) for sentence in found[: -number - 1 : -1]]
    middle = found[len(found) // 2]
    return [
        Prose(Markup("").join([legend(), *hardest]), "The hardest"),
        Prose(coloured(middle, tokens), "One in the middle, for comparison"),
    ]
