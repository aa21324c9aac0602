"""Which tokens lie close together in a language model's embedding."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from src.report.figures import COLOURS, new_figure
from src.report.text.losses import Tokens

MIN_COUNT = 20  # of a neighbour in the training text: rarer ones stay where they began
NUM_NEIGHBOURS = 6
MIN_SHARE, MAX_TOKENS = 1e-4, 80  # of the training text, of a token on the map; tokens on it
VOWELS = "aeiouyAEIOUY"
# Without orange and light blue, too pale for letters on white; None: the page's ink. The letters themselves tell too.
KINDS: dict[str, str | None] = {"vowels": COLOURS[3], "consonants": COLOURS[0], "digits": COLOURS[2], "others": None}
UNREADABLE = "\ufffd"  # a byte that is not a character by itself


def content_words(tokens: Tokens, number: int) -> list[int]:
    """The most frequent words with at least four letters that are not stop words."""
    frequent = [token for token in np.argsort(-tokens.counts, kind="stable") if tokens.counts[token] >= MIN_COUNT]
    return [int(token) for token in frequent if _is_content_word(tokens.names[token], tokens.between)][:number]


def _is_content_word(name: str, between: str) -> bool:
    word = name.strip()
    is_whole = between or name != word  # a byte pair that begins with a space begins a word
    return bool(is_whole) and len(word) >= 4 and word.isalpha() and word.lower() not in ENGLISH_STOP_WORDS


def numbers_of(words: Sequence[str], tokens: Tokens) -> list[int]:
    """The numbers of those words that are one token, with or without a space before it."""
    numbers = {name: number for number, name in reversed(list(enumerate(tokens.names)))}
    found = (numbers.get(f" {word}", numbers.get(word)) for word in words)
    return [number for number in found if number is not None]


def nearest_tokens(embedding: np.ndarray, chosen: list[int], tokens: Tokens) -> list[tuple[str, int, str]]:
    """For each chosen token its name, its count, and the closest frequent tokens with their cosines."""
    frequent = np.flatnonzero(tokens.counts >= MIN_COUNT)
    unit = embedding / np.maximum(np.linalg.norm(embedding, axis=1, keepdims=True), 1e-12)
    cosines = unit[chosen] @ unit[frequent].T
    rows = []
    for token, own in zip(chosen, cosines, strict=True):
        order = np.argsort(-own, kind="stable")[: NUM_NEIGHBOURS + 1].tolist()
        closest = [(int(frequent[place]), own[place]) for place in order if frequent[place] != token]
        words = " · ".join(f"{visible(tokens.names[near])} {cosine:.2f}" for near, cosine in closest[:NUM_NEIGHBOURS])
        rows.append((visible(tokens.names[token]), int(tokens.counts[token]), words))
    return rows


def visible(name: str) -> str:
    """A token's name with its spaces as ␣."""
    return name.replace(" ", "␣")


def draw_token_map(embedding: np.ndarray, tokens: Tokens) -> Figure:
    """The more frequent tokens, at the first two principal components of their vectors."""
    order = np.argsort(-tokens.counts, kind="stable")[: int((tokens.counts >= MIN_SHARE * tokens.counts.sum()).sum())]
    readable = [number for number in order.tolist() if tokens.names[number].isprintable()]
    shown = [number for number in readable if UNREADABLE not in tokens.names[number]][:MAX_TOKENS]
    places = PCA(2, svd_solver="full").fit_transform(embedding[shown])
    figure = new_figure(6.4, 5.2, layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlim=_limits(places[:, 0]), ylim=_limits(places[:, 1]), xticks=[], yticks=[])
    names = [visible(tokens.names[token]) for token in shown]
    for name, (x, y) in zip(names, places, strict=True):
        axes.text(x, y, name, color=KINDS[_kind(name)], ha="center", va="center")
    for kind in sorted(set(map(_kind, names))):
        axes.plot([], [], "s", color=KINDS[kind] or "black", label=kind)
    axes.legend(frameon=False, ncols=len(KINDS), loc="lower center", bbox_to_anchor=(0.5, 1))
    return figure


def _limits(values: np.ndarray) -> tuple[float, float]:
    margin = 0.05 * np.ptp(values) + 1e-6
    return float(values.min() - margin), float(values.max() + margin)


def _kind(name: str) -> str:
    if name.isdigit():
        return "digits"
    if not name.isalpha():
        return "others"
    return "vowels" if name[0] in VOWELS else "consonants"
