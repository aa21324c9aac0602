"""QRNN: a language net that reads all time steps at once but for one blend per layer."""

from collections.abc import Sequence

from src.models.text.qrnn_layer import QRNNLayer
from src.models.text.recurrent_net import RecurrentNet


class QRNN(RecurrentNet):
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
        cutoffs: Sequence[int] | None,
    ) -> None:
        """pooling: "f", "fo" or "ifo".  window: inputs that a step of the first layer sees, 1 or 2; or each layer's.

        dense: each layer sees the embedded words and all layers before it, side by side.
        Raises ValueError if a size is not positive, a choice is none of these, or a rate not within [0, 1).
        """
        windows = [window] + [1] * (num_layers - 1) if isinstance(window, int) else list(window)
        if not isinstance(window, int) and len(windows) != num_layers:
            raise ValueError(f"window must be one number or one for each layer, got {window=}, {num_layers=}")

        def make_layer(depth: int, input_size: int, width: int) -> QRNNLayer:
            choices = {"pooling": pooling, "zoneout": zoneout, "weight_dropout": weight_dropout}
            return QRNNLayer(input_size, width, window=windows[depth], **choices)

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
            dense=dense,
            weight_dropout=weight_dropout,
            zoneout=zoneout,
        )
