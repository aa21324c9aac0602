"""What the recurrent language nets share: all but their layers."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from src.models.dropout import DroppedEmbedding, LockedDropout, check_dropout
from src.models.text.adaptive_decoder import AdaptiveDecoder
from src.models.text.language_features import LanguageFeatures


class RecurrentNet(nn.Module):
    """Embedding, recurrent layers with locked dropout before, between and behind them, decoder.

    The layers are hidden_size wide; with tie_weights the last is embedding_size wide and the decoder's weight is the
    embedding's.
    Source: Merity et al. 2017, arXiv:1708.02182, section 4.
    """

    def __init__(
        self,
        vocab_size: int,
        make_layer: Callable[[int, int, int], nn.Module],
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
        dense: bool,
        **layer_rates: float,
    ) -> None:
        """make_layer: called with depth, input size and width.  layer_rates: the layers' own, which are checked, too.

        cutoffs: see AdaptiveDecoder; a linear decoder if None.
        dense: each layer sees the embedded words and all layers before it, side by side.
        Raises ValueError if a size is not positive or a rate not within [0, 1).
        """
        super().__init__()
        if min(vocab_size, embedding_size, hidden_size, num_layers) < 1:
            raise ValueError(
                f"{type(self).__name__}'s sizes must be positive, "
                f"got {vocab_size=}, {embedding_size=}, {hidden_size=}, {num_layers=}"
            )
        if tie_weights and cutoffs is not None:
            raise ValueError(f"an adaptive decoder has no weight to tie: tie_weights must be false, got {cutoffs=}")
        rates = {
            "embedding_dropout": embedding_dropout,
            "input_dropout": input_dropout,
            "hidden_dropout": hidden_dropout,
        }
        check_dropout(**rates, output_dropout=output_dropout, **layer_rates)
        sizes = [embedding_size] + [hidden_size] * num_layers
        if tie_weights:
            sizes[-1] = embedding_size
        self.dense = dense
        self.embedding = DroppedEmbedding(vocab_size, embedding_size, dropout=embedding_dropout)
        self.input_dropout = LockedDropout(input_dropout)
        self.layers = nn.ModuleList()
        for depth in range(num_layers):
            seen = sum(sizes[: depth + 1]) if dense else sizes[depth]
            self.layers.append(make_layer(depth, seen, sizes[depth + 1]))
        self.dropouts = nn.ModuleList(LockedDropout(hidden_dropout) for _ in range(num_layers - 1))
        self.dropouts.append(LockedDropout(output_dropout))
        if cutoffs is None:
            self.decoder = linear_decoder(sizes[-1], vocab_size, self.embedding.weight if tie_weights else None)
        else:
            self.decoder = AdaptiveDecoder(sizes[-1], vocab_size, cutoffs=cutoffs)

    def forward(self, tokens: Tensor, state: Any = None, starts: Tensor | None = None) -> LanguageFeatures:
        """tokens: (time, batch), int64.  state: a part for each layer, as the call before returned it; zeros if None.

        starts: (time, batch), bool: at these tokens a document begins, and the state before them is zero.
        Raises ValueError if tokens, state and starts do not fit.
        """
        if tokens.ndim != 2:
            raise ValueError(f"tokens must be (time, batch), got {tuple(tokens.shape)}")
        if state is not None and len(state) != len(self.layers):
            raise ValueError(f"the state must have a part for each of {len(self.layers)} layers, got {len(state)}")
        if starts is not None:
            if starts.shape != tokens.shape:
                raise ValueError(f"starts must be {tuple(tokens.shape)} as tokens are, got {tuple(starts.shape)}")
            starts = starts.cpu()  # the layers' loops depend on it: fetched once
        raw = dropped = self.input_dropout(self.embedding(tokens))
        seen, states = [dropped], []
        for layer, dropout, before in zip(self.layers, self.dropouts, state or [None] * len(self.layers), strict=True):
            raw, after = layer(torch.cat(seen, -1) if self.dense else dropped, before, starts)
            dropped = dropout(raw)
            seen.append(dropped)
            states.append(after)
        return LanguageFeatures(dropped, raw, tuple(states))

    def layer_groups(self) -> list[list[nn.Module]]:
        """The embedding, each layer, the decoder; a tied weight is the embedding's alone."""
        decoder = self.decoder
        if isinstance(decoder, nn.Linear) and decoder.weight is self.embedding.weight:
            decoder = nn.ParameterList([decoder.bias])
        return [[self.embedding], *([layer] for layer in self.layers), [decoder]]


def linear_decoder(size: int, vocab_size: int, tied_weight: nn.Parameter | None) -> nn.Linear:
    """A decoder with the given weight; with one of its own if None."""
    decoder = nn.Linear(size, vocab_size)
    nn.init.zeros_(decoder.bias)
    if tied_weight is not None:
        decoder.weight = tied_weight
    else:
        nn.init.uniform_(decoder.weight, -0.1, 0.1)
    return decoder
