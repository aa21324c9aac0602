"""QRNN: a language net that reads all time steps at once but for one blend per layer."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from src.models.nets.dropout import DroppedEmbedding, LockedDropout, check_dropout
from src.models.nets.language_features import LanguageFeatures
from src.models.nets.qrnn_layer import QRNNLayer, QRNNLayerState

QRNNState = tuple[QRNNLayerState, ...]


class QRNN(nn.Module):
    """Embedding, QRNN layers, decoder; whole words, the layers' inputs, outputs and weights are dropped.

    The layers are hidden_size wide; with tie_weights the last is embedding_size wide and the decoder's weight is the
    embedding's.
    Source: Bradbury et al. 2017, arXiv:1611.01576; as a language model, Merity et al. 2018, arXiv:1803.08240.
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        embedding_size: int,
        hidden_size: int,
        num_layers: int,
        pooling: str,
        window: int | Sequence[int],
        zoneout: float,
        dense: bool,
        embedding_dropout: float,
        input_dropout: float,
        hidden_dropout: float,
        output_dropout: float,
        weight_dropout: float,
        tie_weights: bool,
    ) -> None:
        """pooling: "f", "fo" or "ifo".  window: inputs that a step of the first layer sees, 1 or 2; or each layer's.

        dense: each layer sees the embedded words and all layers before it, side by side.
        Raises ValueError if a size is not positive, a choice is none of these, or a rate not within [0, 1).
        """
        super().__init__()
        if min(vocab_size, embedding_size, hidden_size, num_layers) < 1:
            raise ValueError(
                f"QRNN's sizes must be positive, got {vocab_size=}, {embedding_size=}, {hidden_size=}, {num_layers=}"
            )
        rates = {
            "embedding_dropout": embedding_dropout,
            "input_dropout": input_dropout,
            "hidden_dropout": hidden_dropout,
        }
        check_dropout(**rates, output_dropout=output_dropout, weight_dropout=weight_dropout, zoneout=zoneout)
        windows = [window] + [1] * (num_layers - 1) if isinstance(window, int) else list(window)
        if len(windows) != num_layers:
            raise ValueError(f"window must be one number or one for each layer, got {window=}, {num_layers=}")
        sizes = [embedding_size] + [hidden_size] * num_layers
        if tie_weights:
            sizes[-1] = embedding_size
        self.dense = dense
        self.embedding = DroppedEmbedding(vocab_size, embedding_size, dropout=embedding_dropout)
        self.input_dropout = LockedDropout(input_dropout)
        self.layers = nn.ModuleList()
        for depth, width in enumerate(windows):
            seen = sum(sizes[: depth + 1]) if dense else sizes[depth]
            choices = {"pooling": pooling, "window": width, "zoneout": zoneout, "weight_dropout": weight_dropout}
            self.layers.append(QRNNLayer(seen, sizes[depth + 1], **choices))
        self.dropouts = nn.ModuleList(LockedDropout(hidden_dropout) for _ in range(num_layers - 1))
        self.dropouts.append(LockedDropout(output_dropout))
        self.decoder = nn.Linear(sizes[-1], vocab_size)
        nn.init.zeros_(self.decoder.bias)
        if tie_weights:
            self.decoder.weight = self.embedding.weight
        else:
            nn.init.uniform_(self.decoder.weight, -0.1, 0.1)

    def forward(self, tokens: Tensor, state: QRNNState | None = None) -> LanguageFeatures:
        """tokens: (time, batch), int64.  state: each layer's, as the call before returned it; zeros if None.

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
