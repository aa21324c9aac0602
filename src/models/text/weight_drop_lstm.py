"""One LSTM layer with DropConnect on its hidden-to-hidden weights, run by the fused kernels."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from src.models.dropout import check_dropout, drop
from src.models.text.bf16_lstm import BF16LSTM, cpu_has_bf16_lstm, is_bf16_on_cpu, is_faster
from src.models.text.run_segments import run_segments

LSTMState = tuple[Tensor, Tensor]


class WeightDropLSTM(nn.Module):
    """torch.nn.LSTM of one layer; while training, each call drops hidden-to-hidden weights, for all its time steps.

    The weights of the wrapped LSTM are the raw ones: nothing else is kept or saved.
    Source: Merity et al. 2017, arXiv:1708.02182, section 2; Wan et al. 2013 (DropConnect).
    """

    def __init__(self, input_size: int, hidden_size: int, *, weight_dropout: float) -> None:
        """Raises ValueError if the rate is not within [0, 1)."""
        super().__init__()
        check_dropout(weight_dropout=weight_dropout)
        self.lstm = nn.LSTM(input_size, hidden_size)
        self.weight_dropout = weight_dropout

    def forward(
        self, features: Tensor, state: LSTMState | None = None, starts: Tensor | None = None
    ) -> tuple[Tensor, LSTMState]:
        """features: (time, batch, input_size).  state: hidden and cell, (1, batch, hidden_size) each; zeros if None.

        starts: (time, batch), bool: before which steps a track's state is zero; the dropped weights stay dropped.
        Returns the hidden values of all time steps, (time, batch, hidden_size), and the state after the last.
        Raises ValueError if features and state do not fit.
        """
        state = self._checked(features, state)
        weights = tuple(self.lstm.parameters())
        is_dropping = self.training and self.weight_dropout > 0
        if is_dropping:
            weight_ih, weight_hh, *biases = weights
            weights = (weight_ih, drop(weight_hh, self.weight_dropout), *biases)
        if is_bf16_on_cpu(features) and not cpu_has_bf16_lstm():
            run = partial(run_float32, weights)
        elif is_bf16_on_cpu(features) and is_faster(weights):
            run = partial(run_bf16, weights)
        elif not is_dropping:
            run = self.lstm
        else:
            run = partial(run_layer, PackedWeights.apply(*weights) if features.is_cuda else weights)
        return run_segments(run, features, state, starts)

    def _checked(self, features: Tensor, state: LSTMState | None) -> LSTMState:
        if features.ndim != 3 or features.shape[2] != self.lstm.input_size:
            raise ValueError(f"features must be (time, batch, {self.lstm.input_size}), got {tuple(features.shape)}")
        shape = (1, features.shape[1], self.lstm.hidden_size)
        if state is None:
            zeros = features.new_zeros(shape)
            return zeros, zeros
        if any(part.shape != shape for part in state):
            raise ValueError(
                f"the state of this batch must be two of {shape}, got {[tuple(part.shape) for part in state]}; "
                "start another batch size with None"
            )
        # A state from under autocast may meet features from outside it.
        hidden, cell = (part.to(features.dtype) for part in state)
        return hidden, cell


def run_layer(weights: tuple[Tensor, ...], features: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
    """What torch.nn.LSTM calls, but with weights that need not be parameters."""
    choices = {"has_biases": True, "num_layers": 1, "dropout": 0.0, "train": True}
    output, hidden, cell = torch.lstm(features, state, weights, **choices, bidirectional=False, batch_first=False)
    return output, (hidden, cell)


def run_bf16(weights: tuple[Tensor, ...], features: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
    """The same by BF16LSTM."""
    hidden, cell = state
    output, last_cell = BF16LSTM.apply(features, hidden[0], cell[0], *weights)
    return output, (output[-1:], last_cell[None])


def run_float32(weights: tuple[Tensor, ...], features: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
    """The same in float32, with bfloat16 results, for a CPU that has no bfloat16 LSTM."""
    with torch.autocast("cpu", enabled=False):
        hidden, cell = state
        exact = tuple(weight.float() for weight in weights)
        output, (hidden, cell) = run_layer(exact, features.float(), (hidden.float(), cell.float()))
    return output.bfloat16(), (hidden.bfloat16(), cell.bfloat16())


class PackedWeights(torch.autograd.Function):
    """Copies of the given weights, one behind the other in one buffer, as cuDNN wants them: else it copies and warns.

    Only for cuDNN: oneDNN takes each weight where it lies; packing them costs it 1 to 4 %.
    """

    @staticmethod
    def forward(ctx: Any, *weights: Tensor) -> tuple[Tensor, ...]:
        buffer = torch.cat([weight.flatten() for weight in weights])
        pieces = buffer.split([weight.numel() for weight in weights])
        return tuple(piece.view_as(weight) for piece, weight in zip(pieces, weights, strict=True))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        return gradients
