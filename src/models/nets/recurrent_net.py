"""What the recurrent language nets share: all but their layers."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from src.models.nets.dropout import DroppedEmbedding, LockedDropout, check_dropout
from src.models.nets.language_features import LanguageFeatures


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
        dense: bool,
        **layer_rates: float,
    ) -> None:
        """make_layer: called with depth, input size and width.  layer_rates: the layers' own, which are checked, too.

        dense: each layer sees the embedded words and all layers before it, side by side.
        Raises ValueError if a size is not positive or a rate not within [0, 1).
        """
        super().__init__()
        if min(vocab_size, embedding_size, hidden_size, num_layers) < 1:
            raise ValueError(
                f"{type(self).__name__}'s sizes must be positive, "
                f"got {vocab_size=}, {embedding_size=}, {hidden_size=}, {num_layers=}"
            )
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
        self.decoder = nn.Linear(sizes[-1], vocab_size)
        nn.init.zeros_(self.decoder.bias)
        if tie_weights:
            self.decoder.weight = self.embedding.weight
        else:
            nn.init.uniform_(self.decoder.weight, -0.1, 0.1)

    def forward(self, tokens: Tensor, state: Any = None) -> LanguageFeatures:
        """tokens: (time, batch), int64.  state: a part for each layer, as the call before returned it; zeros if None.

        Raises ValueError if tokens and state do not fit.
        """
        if tokens.ndim != 2:
            raise ValueError(f"tokens must be (time, batch), got {tuple(tokens.shape)}")
        if state is not None and len(state) != len(self.layers):
            raise ValueError(f"the state must have a part for each of {len(self.layers)} layers, got {len(state)}")
        raw = dropped = self.input_dropout(self.embedding(tokens))
        seen, states = [dropped], []
        for layer, dropout, before in zip(self.layers, self.dropouts, state or [None] * len(self.layers), strict=True):
            raw, after = layer(torch.cat(seen, -1) if self.dense else dropped, before)
            dropped = dropout(raw)
            seen.append(dropped)
            states.append(after)
        return LanguageFeatures(dropped, raw, tuple(states))

    def layer_groups(self) -> list[list[nn.Module]]:
        """The embedding, each layer, the decoder; a tied weight is the embedding's alone."""
        tied = self.decoder.weight is self.embedding.weight
        decoder = nn.ParameterList([self.decoder.bias]) if tied else self.decoder
        return [[self.embedding], *([layer] for layer in self.layers), [decoder]]
