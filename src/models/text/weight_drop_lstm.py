"""One LSTM layer with DropConnect on its hidden-to-hidden weights, run by fused kernels."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from src.models.dropout import check_dropout, drop
from src.models.text.bf16_lstm import BF16LSTM, cpu_has_bf16_lstm, is_bf16_on_cpu, is_faster
from src.models.text.run_segments import checked_state, run_segments

LSTMState = tuple[Tensor, Tensor]


class WeightDropLSTM(nn.Module):
    """torch.nn.LSTM with one layer; in training each call drops hidden-to-hidden weights, the same for all time steps.

    The wrapped LSTM holds the weights before dropout; nothing else is kept or saved.
    Source: Merity et al. 2017, arXiv:1708.02182, section 2; Wan et al. 2013 (DropConnect).
    """

    def __init__(self, input_size: int, hidden_size: int, *, weight_dropout: float) -> None:
        super().__init__()
        check_dropout(weight_dropout=weight_dropout)
        self.lstm = nn.LSTM(input_size, hidden_size)
        self.weight_dropout = weight_dropout

    def forward(
        self, features: Tensor, state: LSTMState | None = None, starts: Tensor | None = None
    ) -> tuple[Tensor, LSTMState]:
        """Return the hidden values of all time steps, (time, batch, hidden_size), and the state after the last.

        Args:
            features: (time, batch, input_size).
            state: Hidden and cell, (1, batch, hidden_size) each; None is zeros.
            starts: bool (time, batch): where true, the state before the step is zero; the mask stays the same.
        """
        hidden, cell = checked_state(features, state, self.lstm.input_size, [self.lstm.hidden_size] * 2, 1)
        # A state made under autocast may meet features made without it.
        state = hidden.to(features.dtype), cell.to(features.dtype)
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


def run_layer(weights: tuple[Tensor, ...], features: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
    """Run torch.nn.LSTM's kernel with weights that need not be parameters."""
    choices = {"has_biases": True, "num_layers": 1, "dropout": 0.0, "train": True}
    output, hidden, cell = torch.lstm(features, state, weights, **choices, bidirectional=False, batch_first=False)
    return output, (hidden, cell)


def run_bf16(weights: tuple[Tensor, ...], features: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
    """Run BF16LSTM."""
    hidden, cell = state
    output, last_cell = BF16LSTM.apply(features, hidden[0], cell[0], *weights)
    return output, (output[-1:], last_cell[None])


def run_float32(weights: tuple[Tensor, ...], features: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
    """Run the layer in float32 and return bfloat16, on a CPU that has no bfloat16 LSTM."""
    with torch.autocast("cpu", enabled=False):
        hidden, cell = state
        exact = tuple(weight.float() for weight in weights)
        output, (hidden, cell) = run_layer(exact, features.float(), (hidden.float(), cell.float()))
    return output.bfloat16(), (hidden.bfloat16(), cell.bfloat16())


class PackedWeights(torch.autograd.Function):
    """Copies of the weights in one buffer, as cuDNN wants them; otherwise it copies them itself and warns.

    For cuDNN only: packing costs oneDNN, which takes each weight where it is, 1 to 4 %.
    """

    @staticmethod
    def forward(ctx: Any, *weights: Tensor) -> tuple[Tensor, ...]:
        buffer = torch.cat([weight.flatten() for weight in weights])
        pieces = buffer.split([weight.numel() for weight in weights])
        return tuple(piece.view_as(weight) for piece, weight in zip(pieces, weights, strict=True))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        return gradients
