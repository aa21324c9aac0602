"""AWD-LSTM: an LSTM language net with dropout at every place."""

from typing import Any

from src.models.text.recurrent_net import RecurrentNet
from src.models.text.weight_drop_lstm import WeightDropLSTM


class AWDLSTM(RecurrentNet):
    """Embedding, LSTM layers, decoder, with dropout of words, of the layers' inputs and outputs, and of weights.

    Source: Merity et al. 2017, arXiv:1708.02182, sections 2 and 4.

    Args:
        weight_dropout: Of the layers' hidden-to-hidden weights.
        **base: The sizes and dropout rates of RecurrentNet, tie_weights and cutoffs.
    """

    def __init__(self, vocab_size: int, *, weight_dropout: float, **base: Any) -> None:
        def make_layer(depth: int, sizes: list[int]) -> WeightDropLSTM:
            return WeightDropLSTM(sizes[depth], sizes[depth + 1], weight_dropout=weight_dropout)

        super().__init__(vocab_size, make_layer, **base)
