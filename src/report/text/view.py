"""What a report shows of a language model."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytorch_lightning as pl
from markupsafe import Markup

from src.report.parts import Part, Plot, Prose, Section, Table
from src.report.rows import rows_note
from src.report.text.difficulty import (
    Bin,
    by_frequency,
    by_position,
    draw_frequencies,
    draw_positions,
    draw_shares,
    shares_of,
)
from src.report.text.embedding import content_words, draw_token_map, nearest_tokens, numbers_of
from src.report.text.losses import LINE_END, TextLosses, Tokens, losses_of, tokens_of
from src.report.text.sentences import coloured, legend, sentences_of

NUM_WORDS = 12
PERPLEXITY = "Perplexity is e^loss: at 50, the net is as unsure as among 50 equally probable tokens."
COLOURED = (
    "The less probable a token was to the net, the stronger its colour and the thicker its underline. Hover over a "
    "token for its numbers. Look for what hard tokens share: names, numbers, rare words, an unfamiliar style."
)


@dataclass(frozen=True, kw_only=True)
class TextView:
    """What is hard for the model, the hardest sentences, what it writes, and which words it finds similar.

    The model has `token_losses`, `continued`, and a net with an `embedding` and a `decoder`; the datamodule has `spec`,
    `tokens`, `encode` and `decode`.

    Attributes:
        max_tokens: how many tokens of the text it reads.
        num_sentences: how many of the hardest sentences it shows.
        prompts: what the model continues.
        temperatures: how boldly: 0 takes the most probable token, 1 follows the model's probabilities.
        length: by how many tokens.
        words: whose neighbours it shows; frequent ones if None or if the vocabulary has none of them.
    """

    max_tokens: int
    num_sentences: int
    prompts: Sequence[str]
    temperatures: Sequence[float]
    length: int
    words: Sequence[str] | None

    def __post_init__(self) -> None:
        if min(self.max_tokens, self.num_sentences, self.length) < 1:
            raise ValueError(f"max_tokens, num_sentences and length of a view of text must be at least 1, got {self}")
        if not self.prompts or not all(self.prompts) or not self.temperatures or min(self.temperatures) < 0:
            raise ValueError(
                f"a view of text needs prompts that are not empty, and temperatures of at least 0, got {self}"
            )

    def sections(self, model: pl.LightningModule, datamodule: pl.LightningDataModule) -> list[Section]:
        text = losses_of(model, datamodule, self.max_tokens)
        if not math.isfinite(text.mean):
            words = "The losses of the text are infinite or not numbers (NaN)."
            advice = "The training diverged: try a lower learning rate."
            return [Section("What is hard for it", [Prose(words)], advice)]
        tokens = tokens_of(datamodule)
        note = _what_was_read(model, datamodule, text)
        positions = _positions(by_position(model, datamodule, text), text.mean)
        difficulty = [*positions, *_frequencies(by_frequency(text, tokens.counts)), _guesses(text)]
        return [
            Section("What is hard for it", difficulty, f"{note} {PERPLEXITY}"),
            Section("Sentences, token by token", _sentences(text, tokens, self.num_sentences), f"{note} {COLOURED}"),
            Section("What it writes", [self._samples(model, datamodule)]),
            Section("Which words it finds similar", [self._embedding(model, tokens)]),
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
            "Each next token is drawn from the model's probabilities. A temperature below 1 prefers probable tokens: "
            "the text is safe and repeats itself. Above 1 the text is bolder, with more mistakes.",
        )

    def _embedding(self, model: Any, tokens: Tokens) -> Part:
        embedding = model.net.embedding.weight.detach().float().cpu().numpy()
        chosen = numbers_of(self.words or [], tokens) or content_words(tokens, NUM_WORDS)
        if not chosen:
            return Plot(
                "A map of the tokens",
                draw_token_map(embedding, tokens),
                "The most frequent tokens, at the first two principal components of their embedding vectors",
                "The training found a vector for each token; the map shows the two directions in which the vectors "
                "differ most. Tokens with similar uses, such as the vowels, should lie close together.",
            )
        return Table(
            "Nearest neighbours",
            ("word", "times in the training text", "closest words, with the cosine of the angle between the vectors"),
            nearest_tokens(embedding, chosen, tokens),
            "The training found a vector for each word. Vectors of words with similar uses point the same way (cosine "
            "1); 0 means unrelated. If the neighbours make no sense, the training was short or the word is rare. ␣ is "
            "a space.",
        )


def _what_was_read(model: Any, datamodule: pl.LightningDataModule, text: TextLosses) -> str:
    count, tracks = int(text.counted.sum()), text.losses.shape[1]
    note = rows_note(datamodule, count, text.total, "tokens", how="from the start of each track")
    note += f", read in {tracks} tracks side by side: loss {text.mean:.3f}, perplexity {math.exp(text.mean):,.1f}."
    if getattr(model, "cache", None) is not None or getattr(model, "dynamic", None) is not None:
        note += " This is the net alone, without neural cache and dynamic evaluation."
    return note


def _positions(bins: list[Bin], mean: float) -> list[Part]:
    if not bins:
        return [Prose("The text that was read is too short to measure how much of the past the net uses.")]
    first, last = (math.exp(bins[place].loss) for place in (0, -1))
    return [
        Plot(
            "Perplexity by position",
            draw_positions(bins, mean),
            f"Perplexity falls from {first:.4g} after {bins[0].name} token to {last:.4g} after {bins[-1].name}; with "
            f"the whole past it is {math.exp(mean):.4g}",
            "The perplexity if the net had started to read only so many tokens ago (bars: one standard error). Where "
            "the curve is flat, older tokens no longer help: the net has not learned to use them.",
        )
    ]


def _frequencies(bins: list[Bin]) -> list[Part]:
    perplexities = (f"{each.name}: {math.exp(each.loss):.4g}" for each in bins)
    names = (each.name for each in bins)
    shares = (f"{name}: {a:.0%}, {b:.0%}" for name, a, b in zip(names, *shares_of(bins).values(), strict=True))
    return [
        Plot(
            "Perplexity by token frequency",
            draw_frequencies(bins),
            f"Perplexity by how often a token is in the training text. {'; '.join(perplexities)}",
            "Rare tokens are hard (bars: one standard error). More text helps; for words, a vocabulary of word pieces "
            "helps as well (tokenizer=bpe).",
        ),
        Plot(
            "Where the loss comes from",
            draw_shares(bins),
            f"Share of the tokens, and of the loss, by how often a token is in the training text. {'; '.join(shares)}",
            "Where the second bar is longer, tokens cost more than their share.",
        ),
    ]


def _guesses(text: TextLosses) -> Table:
    within = {"the first guess": 1, "among the first 5": 5, "among the first 10": 10}
    return Table(
        "Is the next token among its guesses?",
        ("the true token is", "share of the tokens"),
        [(name, f"{(text.ranks < number).mean():.1%}") for name, number in within.items()],
        f"Measured on {len(text.ranks):,} random tokens. The net gives its first guess a probability of "
        f"{text.confidences.mean():.1%} on average, and the guess is correct for {(text.ranks < 1).mean():.1%}. If the "
        "first number is far above the second, the net is too confident.",
    )


def _sentences(text: TextLosses, tokens: Tokens, number: int) -> list[Part]:
    found = sentences_of(text, tokens)
    if not found:
        return [Prose("The text that was read has no whole sentence of 40 to 300 characters.")]
    hardest = [coloured(sentence, tokens) for sentence in found[: -number - 1 : -1]]
    middle = found[len(found) // 2]
    return [
        Prose(Markup("").join([legend(), *hardest]), "The hardest"),
        Prose(coloured(middle, tokens), "An average sentence, for comparison"),
    ]
