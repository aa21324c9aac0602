"""QRNN: a language net whose layers read all time steps at once, except for one blend over time."""

from collections.abc import Sequence
from typing import Any

from src.models.text.qrnn_layer import QRNNLayer
from src.models.text.recurrent_net import RecurrentNet


class QRNN(RecurrentNet):
    """Embedding, QRNN layers, decoder, with dropout of words, of the layers' inputs and outputs, and of weights.

    Source: Bradbury et al. 2017, arXiv:1611.01576; as a language model, Merity et al. 2018, arXiv:1803.08240.

    Args:
        pooling: The gates of each layer: "f", "fo" or "ifo".
        window: How many inputs a step of the first layer sees, 1 or 2; or a list with one number per layer.
        zoneout: Chance that a value of the state stays as it was, at each step.
        dense: Whether each layer sees the embedded words and all layers before it, side by side.
        weight_dropout: Of the layers' weights.
        **base: The other sizes and dropout rates of RecurrentNet, tie_weights and cutoffs.
    """

    def __init__(
        self,
        vocab_size: int,
        *,
        num_layers: int,
        pooling: str,
        window: int | Sequence[int],
        zoneout: float,
        dense: bool,
        weight_dropout: float,
        **base: Any,
    ) -> None:
        windows = [window] + [1] * (num_layers - 1) if isinstance(window, int) else list(window)
        if not isinstance(window, int) and len(windows) != num_layers:
            raise ValueError(f"window must be one number or one for each layer, got {window=}, {num_layers=}")
        choices = {"pooling": pooling, "zoneout": zoneout, "weight_dropout": weight_dropout}

        def make_layer(depth: int, sizes: list[int]) -> QRNNLayer:
            input_size = sum(sizes[: depth + 1]) if dense else sizes[depth]
            return QRNNLayer(input_size, sizes[depth + 1], window=windows[depth], **choices)

        super().__init__(vocab_size, make_layer, num_layers=num_layers, **base)
        self.dense = dense
