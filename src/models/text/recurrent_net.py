"""The parts that recurrent language nets share: everything but their layers."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from src.models.dropout import DroppedEmbedding, LockedDropout, check_dropout
from src.models.text.adaptive_decoder import AdaptiveDecoder


class LanguageFeatures(NamedTuple):
    """What every language net returns; its `decoder` makes logits of it later, so the loss can do that in pieces.

    Attributes:
        dropped: The last layer's output after dropout, (time, batch, embedding_size).
        raw: The same before dropout.
        state: What the next window starts from; nested tuples of tensors.
    """

    dropped: Tensor
    raw: Tensor
    state: Any


class RecurrentNet(nn.Module):
    """Embedding, recurrent layers with locked dropout before, between and after them, decoder.

    Source: Merity et al. 2017, arXiv:1708.02182, section 4.

    Args:
        vocab_size: Number of words.
        make_layer: Makes a layer, given its depth and the widths of the embedding and of all layers.
        hidden_size: Width of all layers; with tie_weights the last is embedding_size wide.
        embedding_dropout: Of whole words.
        input_dropout: Of the embedded words.
        hidden_dropout: Between layers.
        output_dropout: Before the decoder.
        tie_weights: Whether the decoder's weight is the embedding's.
        cutoffs: Of an AdaptiveDecoder; None makes the decoder linear.

    Raises:
        ValueError: A size is not positive, or a rate is not within [0, 1).
    """

    dense = False  # whether each layer sees the embedded words and all layers before it, side by side

    def __init__(
        self,
        vocab_size: int,
        make_layer: Callable[[int, list[int]], nn.Module],
        *,
        embedding_size: int,
        hidden_size: int,
        num_layers: int,
        embedding_dropout: float,
        input_dropout: float,
        hidden_dropout: float,
        output_dropout: float,
        tie_weights: bool,
        cutoffs: Sequence[int] | None,
    ) -> None:
        super().__init__()
        if min(vocab_size, embedding_size, hidden_size, num_layers) < 1:
            raise ValueError(
                f"{type(self).__name__}'s sizes must be positive, "
                f"got {vocab_size=}, {embedding_size=}, {hidden_size=}, {num_layers=}"
            )
        if tie_weights and cutoffs is not None:
            raise ValueError(f"an adaptive decoder has no weight to tie: tie_weights must be false, got {cutoffs=}")
        check_dropout(
            embedding_dropout=embedding_dropout,
            input_dropout=input_dropout,
            hidden_dropout=hidden_dropout,
            output_dropout=output_dropout,
        )
        sizes = [embedding_size] + [hidden_size] * num_layers
        if tie_weights:
            sizes[-1] = embedding_size
        self.embedding = DroppedEmbedding(vocab_size, embedding_size, dropout=embedding_dropout)
        self.input_dropout = LockedDropout(input_dropout)
        self.layers = nn.ModuleList(make_layer(depth, sizes) for depth in range(num_layers))
        self.dropouts = nn.ModuleList(LockedDropout(hidden_dropout) for _ in range(num_layers - 1))
        self.dropouts.append(LockedDropout(output_dropout))
        if cutoffs is None:
            self.decoder = linear_decoder(sizes[-1], vocab_size, self.embedding.weight if tie_weights else None)
        else:
            self.decoder = AdaptiveDecoder(sizes[-1], vocab_size, cutoffs=cutoffs)

    def forward(self, tokens: Tensor, state: Any = None, starts: Tensor | None = None) -> LanguageFeatures:
        """Return the features of a window; ValueError if the arguments do not fit together.

        Args:
            tokens: int64 (time, batch).
            state: The state in the features of the window before; None is zeros.
            starts: bool (time, batch): where a document begins, the state before it is zero.
        """
        if tokens.ndim != 2:
            raise ValueError(f"tokens must be (time, batch), got {tuple(tokens.shape)}")
        if state is not None and len(state) != len(self.layers):
            raise ValueError(f"the state must have a part for each of {len(self.layers)} layers, got {len(state)}")
        if starts is not None:
            if starts.shape != tokens.shape:
                raise ValueError(f"starts must be {tuple(tokens.shape)} as tokens are, got {tuple(starts.shape)}")
            starts = starts.cpu()  # the layers' loops depend on it: fetch it once
        raw = dropped = self.input_dropout(self.embedding(tokens))
        seen, states = [dropped], []
        for layer, dropout, before in zip(self.layers, self.dropouts, state or [None] * len(self.layers), strict=True):
            raw, after = layer(torch.cat(seen, -1) if self.dense else dropped, before, starts)
            dropped = dropout(raw)
            seen.append(dropped)
            states.append(after)
        return LanguageFeatures(dropped, raw, tuple(states))

    def layer_groups(self) -> list[list[nn.Module]]:
        """Return the embedding, each layer, the decoder; a tied weight belongs to the embedding."""
        decoder = self.decoder
        if isinstance(decoder, nn.Linear) and decoder.weight is self.embedding.weight:
            decoder = nn.ParameterList([decoder.bias])
        return [[self.embedding], *([layer] for layer in self.layers), [decoder]]


def linear_decoder(size: int, vocab_size: int, tied_weight: nn.Parameter | None) -> nn.Linear:
    """Return a decoder with the given weight, or with its own if None."""
    decoder = nn.Linear(size, vocab_size)
    nn.init.zeros_(decoder.bias)
    if tied_weight is not None:
        decoder.weight = tied_weight
    else:
        nn.init.uniform_(decoder.weight, -0.1, 0.1)
    return decoder
