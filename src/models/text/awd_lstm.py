"""AWD-LSTM: an LSTM language net with dropout wherever it can be."""

from collections.abc import Sequence

from src.models.text.recurrent_net import RecurrentNet
from src.models.text.weight_drop_lstm import WeightDropLSTM


class AWDLSTM(RecurrentNet):
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
        cutoffs: Sequence[int] | None,
    ) -> None:
        """Raises ValueError if a size is not positive or a rate not within [0, 1)."""

        def make_layer(depth: int, input_size: int, width: int) -> WeightDropLSTM:
            return WeightDropLSTM(input_size, width, weight_dropout=weight_dropout)

        super().__init__(
            vocab_size,
            make_layer,
            embedding_size=embedding_size,
            hidden_size=hidden_size,
            num_layers=num_layers,
            embedding_dropout=embedding_dropout,
            input_dropout=input_dropout,
            hidden_dropout=hidden_dropout,
            output_dropout=output_dropout,
            tie_weights=tie_weights,
            cutoffs=cutoffs,
            dense=False,
            weight_dropout=weight_dropout,
        )
