"""AWD-LSTM: an LSTM language net with dropout wherever it can be."""

from itertools import pairwise

from torch import Tensor, nn

from src.models.nets.dropout import DroppedEmbedding, LockedDropout, check_dropout
from src.models.nets.language_features import LanguageFeatures
from src.models.nets.weight_drop_lstm import LSTMState, WeightDropLSTM

AWDLSTMState = tuple[LSTMState, ...]


class AWDLSTM(nn.Module):
    """Embedding, LSTM layers, decoder; whole words, the layers' inputs and outputs and recurrent weights are dropped.

    The layers are hidden_size wide; with tie_weights the last is embedding_size wide and the decoder's weight is the
    embedding's.
    Source: Merity et al. 2017, arXiv:1708.02182, sections 2 and 4.
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        embedding_size: int,
        hidden_size: int,
        num_layers: int,
        embedding_dropout: float,
        input_dropout: float,
        hidden_dropout: float,
        output_dropout: float,
        weight_dropout: float,
        tie_weights: bool,
    ) -> None:
        """Raises ValueError if a size is not positive or a rate not within [0, 1)."""
        super().__init__()
        if min(vocab_size, embedding_size, hidden_size, num_layers) < 1:
            raise ValueError(
                f"AWDLSTM's sizes must be positive, got {vocab_size=}, {embedding_size=}, {hidden_size=}, {num_layers=}"
            )
        rates = {
            "embedding_dropout": embedding_dropout,
            "input_dropout": input_dropout,
            "hidden_dropout": hidden_dropout,
        }
        check_dropout(**rates, output_dropout=output_dropout, weight_dropout=weight_dropout)
        sizes = [embedding_size] + [hidden_size] * num_layers
        if tie_weights:
            sizes[-1] = embedding_size
        self.embedding = DroppedEmbedding(vocab_size, embedding_size, dropout=embedding_dropout)
        self.input_dropout = LockedDropout(input_dropout)
        self.layers = nn.ModuleList(WeightDropLSTM(a, b, weight_dropout=weight_dropout) for a, b in pairwise(sizes))
        self.dropouts = nn.ModuleList(LockedDropout(hidden_dropout) for _ in range(num_layers - 1))
        self.dropouts.append(LockedDropout(output_dropout))
        self.decoder = nn.Linear(sizes[-1], vocab_size)
        nn.init.zeros_(self.decoder.bias)
        if tie_weights:
            self.decoder.weight = self.embedding.weight
        else:
            nn.init.uniform_(self.decoder.weight, -0.1, 0.1)

    def forward(self, tokens: Tensor, state: AWDLSTMState | None = None) -> LanguageFeatures:
        """tokens: (time, batch), int64.  state: hidden and cell of each layer, (1, batch, size) each; zeros if None.

        Raises ValueError if tokens and state do not fit.
        """
        if tokens.ndim != 2:
            raise ValueError(f"tokens must be (time, batch), got {tuple(tokens.shape)}")
        if state is not None and len(state) != len(self.layers):
            raise ValueError(f"the state must have a part for each of {len(self.layers)} layers, got {len(state)}")
        raw = dropped = self.input_dropout(self.embedding(tokens))
        states = []
        for layer, dropout, before in zip(self.layers, self.dropouts, state or [None] * len(self.layers), strict=True):
            raw, after = layer(dropped, before)
            dropped = dropout(raw)
            states.append(after)
        return LanguageFeatures(dropped, raw, tuple(states))

    def layer_groups(self) -> list[list[nn.Module]]:
        """The embedding, each layer, the decoder; a tied weight is the embedding's alone."""
        tied = self.decoder.weight is self.embedding.weight
        decoder = nn.ParameterList([self.decoder.bias]) if tied else self.decoder
        return [[self.embedding], *([layer] for layer in self.layers), [decoder]]
