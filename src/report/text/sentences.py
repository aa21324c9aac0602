"""Sentences of a text, each token on a background that shows how improbable the model found it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from markupsafe import Markup

from src.report.text.losses import LINE_END, TextLosses, Tokens

MIN_LENGTH, MAX_LENGTH = 40, 300  # characters of a sentence
ENDS = {".", "!", "?"}
# The lowest probability of each level, and its words. Its look is a colour that suits light and dark pages, and a line
# that says the same without colour.
LEVELS = ((0.5, "1/2 or more"), (0.1, "1/10"), (0.01, "1/100"), (0.001, "1/1,000"), (0.0, "less"))
COLOUR = "213, 94, 0"
OPACITIES, THICKNESSES = (0, 0.14, 0.26, 0.38, 0.5), (0, 1, 2, 3, 4)  # of each level; thickness in pixels


@dataclass(frozen=True)
class Sentence:
    """Its tokens, and the loss of each in nats."""

    tokens: Sequence[int]
    losses: np.ndarray

    @property
    def mean(self) -> float:
        return float(self.losses.mean())


def sentences_of(text: TextLosses, tokens: Tokens) -> list[Sentence]:
    """The whole sentences and lines of 40 to 300 characters, the easiest (by mean loss) first."""
    ends = np.array([LINE_END in name or name.strip() in ENDS for name in tokens.names])
    lengths = np.array([len(tokens.between) + len(name) for name in tokens.names])
    found = []
    for track in range(text.losses.shape[1]):
        kept = text.counted[:, track].numpy()
        targets, losses = text.batch[1][:, track].numpy()[kept], text.losses[:, track].double().numpy()[kept]
        bounds = 1 + np.flatnonzero(ends[targets])
        for start, stop in pairwise(bounds.tolist()):
            if MIN_LENGTH <= lengths[targets[start:stop]].sum() <= MAX_LENGTH:
                found.append(Sentence(targets[start:stop].tolist(), losses[start:stop]))
    return sorted(found, key=lambda sentence: sentence.mean)


def coloured(sentence: Sentence, tokens: Tokens) -> Markup:
    """The sentence as a paragraph. Each token has its loss and probability as a tooltip."""
    spans = [
        Markup('<span style="{}" title="loss {:.2f}, probability {}">{}</span>').format(
            _style(loss), loss, _probability_text(math.exp(-loss)), tokens.names[token]
        )
        for token, loss in zip(sentence.tokens, sentence.losses.tolist(), strict=True)
    ]
    perplexity = math.exp(sentence.mean)
    caption = f"loss {sentence.mean:.2f} nats per token, perplexity {perplexity:,.{1 if perplexity < 100 else 0}f}"
    return Markup('<p style="{}">{}<br><span class="note">{}</span></p>').format(
        "white-space: pre-wrap; line-height: 2.1", Markup(tokens.between).join(spans), caption
    )


def legend() -> Markup:
    """The levels and their probabilities."""
    swatches = (
        Markup('<span style="color: var(--ink); {}">&nbsp;{}&nbsp;</span>').format(_look(level), words)
        for level, (_, words) in enumerate(LEVELS)
    )
    template = '<p class="note" style="line-height: 2.1">Probability of the true token: {}</p>'
    return Markup(template).format(Markup(" ").join(swatches))


def _style(loss: float) -> str:
    return _look(next(level for level, (lowest, _) in enumerate(LEVELS) if math.exp(-loss) >= lowest))


def _look(level: int) -> str:
    if not level:
        return ""
    return f"background: rgba({COLOUR}, {OPACITIES[level]}); border-bottom: {THICKNESSES[level]}px solid currentColor"


def _probability_text(probability: float) -> str:
    """In percent, or `1 in 2,000`."""
    return f"{100 * probability:.2g}%" if probability >= 0.001 else f"1 in {1 / max(probability, 1e-12):,.0f}"
