"""How hard a text is for a language model: by how much of it the model has read, and by how frequent a token is."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from src.report.figures import ACCENT, add_legend, bar_style, line_style, name_rows, new_axes
from src.report.text.losses import TextLosses, as_in_test

LENGTHS = (256, 128, 64, 32, 16, 8)  # of the segments that are read again
MAX_SEGMENTS, MIN_SEGMENTS = 64, 8
SIZE = (3.2, 2.9)  # inches: three plots side by side, or one on a phone


@dataclass(frozen=True)
class Bin:
    """A group of tokens: their mean loss in nats, its standard error, and their number."""

    name: str
    loss: float
    error: float
    count: int


@torch.no_grad()
def by_position(model: Any, datamodule: pl.LightningDataModule, text: TextLosses) -> list[Bin]:
    """The mean loss if the model had read only the last 1, 2, 3 to 4, 5 to 8, ... tokens; [] if the text is too short.

    Segments from the middle of the text are read again without their past. This adds to the loss of each token: a
    difference of two losses of one token, which is far less noisy than the losses themselves.
    """
    chosen = _segments(text)
    if chosen is None:
        return []
    *batch, usual = (tensor.to(model.device) for tensor in chosen)
    with as_in_test(datamodule):
        losses, _ = model.token_losses(tuple(batch))
    added = (losses.float() - usual).double().cpu().numpy()
    bins = []
    stop = 0
    while stop < len(added):
        start, stop = stop, max(1, 2 * stop)
        of_segments = added[start:stop].mean(0)
        name = str(stop) if stop - start == 1 else f"{start + 1}-{stop}"
        error = of_segments.std(ddof=1) / len(of_segments) ** 0.5
        bins.append(Bin(name, text.mean + of_segments.mean(), error, added[start:stop].size))
    return bins


def _segments(text: TextLosses) -> tuple[Tensor, ...] | None:
    """Tokens, targets, perhaps starts, and losses, each (time, segments), as long as there are enough segments.

    The segments neither begin a track nor contain a document's beginning or a missing target.
    """
    parts = [*text.batch, text.losses]
    broken = ~text.counted if len(text.batch) == 2 else ~text.counted | text.batch[2]
    for length in LENGTHS:
        rest, *cut = (_cut(part, length) for part in (broken, *parts))
        whole = (~rest.any(0)).nonzero().flatten()
        if len(whole) >= MIN_SEGMENTS:
            spread = np.linspace(0, len(whole) - 1, min(len(whole), MAX_SEGMENTS)).round().astype(int)
            return tuple(part[:, whole[spread]] for part in cut)
    return None


def _cut(part: Tensor, length: int) -> Tensor:
    """(time, tracks) -> (length, segments), without the first segment of each track."""
    count = len(part) // length
    pieces = part[: count * length].unflatten(0, (count, length))[1:]
    return pieces.transpose(0, 1).flatten(1)


def draw_positions(bins: list[Bin], mean: float) -> Figure:
    """Perplexity by the number of tokens read, and the perplexity with the whole past."""
    figure, axes = new_axes(*SIZE)
    places = np.arange(len(bins))
    losses, errors = (np.array([getattr(each, name) for each in bins]) for name in ("loss", "error"))
    values = np.exp(losses)
    spans = np.stack([values - np.exp(losses - errors), np.exp(losses + errors) - values])
    axes.errorbar(places, values, spans, color=ACCENT, marker="o", ms=4, capsize=3, label="these tokens only")
    axes.axhline(np.exp(mean), **line_style(1), label="the whole past")
    axes.set_xticks(places, [each.name.rpartition("-")[2] for each in bins], fontsize=9)
    axes.set_xlabel("most tokens read before")
    axes.set_ylabel("perplexity")
    axes.legend(frameon=False)
    return figure


def by_frequency(text: TextLosses, counts: np.ndarray) -> list[Bin]:
    """The losses by the true token's count in the training text, in powers of ten, the rarest first.

    counts: of each token of the vocabulary.
    """
    kept = text.counted.numpy()
    losses = text.losses.numpy()[kept].astype(np.float64)
    often = counts[text.batch[1].numpy()[kept]]
    power = np.where(often > 0, np.floor(np.log10(np.maximum(often, 1))), -1).astype(int)
    bins = []
    for number in np.unique(power):
        own = losses[power == number]
        error = own.std(ddof=1) / len(own) ** 0.5 if len(own) > 1 else 0.0
        bins.append(Bin(_range_name(int(number)), float(own.mean()), float(error), len(own)))
    return bins


def _range_name(power: int) -> str:
    if power < 0:
        return "never"
    lowest, end = (
        f"{10**each:,}".replace(",000,000,000", "G").replace(",000,000", "M").replace(",000", "k")
        for each in (power, power + 1)
    )
    return f"{lowest} to {end}"


def draw_frequencies(bins: list[Bin]) -> Figure:
    """Perplexity of each bin, from top to bottom."""
    figure, axes = _rows_for(bins)
    values = np.exp([each.loss for each in bins])
    ends = [np.exp([each.loss + sign * each.error for each in bins]) for sign in (-1, 1)]
    spans = np.abs(np.stack(ends) - values)
    axes.errorbar(values, range(len(bins)), xerr=spans, color=ACCENT, marker="o", linestyle="none", capsize=3)
    axes.set_xscale("log")
    axes.set_xlabel("perplexity")
    axes.grid(axis="x", alpha=0.3)
    return figure


def draw_shares(bins: list[Bin]) -> Figure:
    """Each bin's share of the tokens, and of the sum of all losses."""
    figure, axes = _rows_for(bins)
    for number, (label, share) in enumerate(shares_of(bins).items()):
        axes.barh(np.arange(len(bins)) + 0.4 * number - 0.2, 100 * share, 0.38, **bar_style(number), label=label)
    axes.set_xlabel("percent")
    add_legend(axes, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, handlelength=1.5, columnspacing=1)
    return figure


def shares_of(bins: list[Bin]) -> dict[str, np.ndarray]:
    """Each bin's share of the tokens, and of the sum of all losses."""
    counts = np.array([each.count for each in bins])
    totals = counts * np.array([each.loss for each in bins])
    return {"of the tokens": counts / counts.sum(), "of the loss": totals / totals.sum()}


def _rows_for(bins: list[Bin]) -> tuple[Figure, Axes]:
    figure, axes = new_axes(*SIZE)
    name_rows(axes, [each.name for each in bins])
    axes.set_ylabel("times in the training text")
    return figure, axes
