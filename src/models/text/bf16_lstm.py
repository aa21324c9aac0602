"""LSTM layers in bfloat16 on a CPU: what the CPU can run, and a faster way to train wide layers."""

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from src.models.autocast import autocast_dtype

# The derivatives of sigmoid and tanh, computed from their values.
sigmoid_backward = torch.ops.aten.sigmoid_backward
tanh_backward = torch.ops.aten.tanh_backward


def is_bf16_on_cpu(features: Tensor) -> bool:
    """Whether the features are on a CPU and autocast computes in bfloat16 there."""
    return features.device.type == "cpu" and autocast_dtype("cpu") == torch.bfloat16


@cache
def cpu_has_bf16_lstm() -> bool:
    """Whether torch can run an LSTM under autocast to bfloat16 on this CPU: not without AVX-512. Tries it once."""
    features, state, weight = torch.zeros(1, 1, 1), torch.zeros(1, 1, 1), torch.zeros(4, 1)
    try:
        with torch.autocast("cpu", torch.bfloat16):
            torch.lstm(features, (state, state), (weight, weight), False, 1, 0.0, False, False, False)
    except RuntimeError:
        return False
    return True


def is_faster(weights: tuple[Tensor, ...]) -> bool:
    """Whether BF16LSTM is faster than oneDNN's bfloat16 LSTM: with gradients, for a layer of 2 million weights."""
    return torch.is_grad_enabled() and sum(weight.numel() for weight in weights) >= 2_000_000


class BF16LSTM(torch.autograd.Function):
    """Matrix products in bfloat16; gates, cells and their gradients in float32.

    Takes features (time, batch, input), hidden and cell (batch, size), then the weights in torch.nn.LSTM's order.
    Returns the hidden values of all time steps and the last cell, in bfloat16.

    oneDNN's forward pass is as fast, but its backward pass is slower. Here the gradients of all gates are kept, and the
    gradient of each weight is one product. Forward and backward of a (70, 20) window on one core of a Zen 4, in ms,
    against oneDNN in bfloat16 and in float32: 1150 to 1150 units 557, 953, 1248; 1150 to 400 units 206, 292, 303; but
    400 to 512 units 113, 94, 169: there the loop over time costs more than it saves. Errors are as large as oneDNN's.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, hidden: Tensor, cell: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
        weight_ih, weight_hh, bias_ih, bias_hh = (weight.bfloat16() for weight in weights)
        features, first_hidden, first_cell = features.bfloat16(), hidden.bfloat16(), cell.float()
        time, batch, size = *features.shape[:2], hidden.shape[1]
        sums = torch.addmm(bias_ih + bias_hh, features.flatten(0, 1), weight_ih.t()).view(time, batch, 4 * size)
        gates = torch.empty(sums.shape)
        cells = torch.empty(time, batch, size)
        hiddens = torch.empty(time, batch, size, dtype=torch.bfloat16)
        hidden, cell = first_hidden, first_cell
        # unbind: indexing in a loop takes ten times as long.
        for sum_t, gate_t, cell_t, hidden_t in zip(
            *(all_t.unbind() for all_t in (sums, gates, cells, hiddens)), strict=True
        ):
            gate_t.copy_(sum_t.addmm_(hidden, weight_hh.t()))
            take_in, forget, new, give_out = gate_t.chunk(4, dim=1)
            gate_t[:, : 2 * size].sigmoid_()
            new.tanh_()
            give_out.sigmoid_()
            cell = torch.mul(forget, cell, out=cell_t).addcmul_(take_in, new)
            hidden = hidden_t.copy_(cell.tanh().mul_(give_out))
        ctx.save_for_backward(features, first_hidden, first_cell, weight_ih, weight_hh, gates, cells, hiddens)
        return hiddens, cell.bfloat16()

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, d_hiddens: Tensor, d_cell: Tensor
    ) -> tuple[Tensor, ...]:
        features, first_hidden, first_cell, weight_ih, weight_hh, gates, cells, hiddens = ctx.saved_tensors
        d_sums = torch.empty(gates.shape, dtype=torch.bfloat16)
        d_sum = torch.empty(gates.shape[1:])
        d_in, d_forget, d_new, d_out = d_sum.chunk(4, dim=1)
        d_hidden, d_cell = torch.zeros_like(first_cell), d_cell.float().clone()
        steps = zip(
            *(reversed(all_t.unbind()) for all_t in (d_hiddens, gates, cells, d_sums)),
            [*reversed(cells[:-1].unbind()), first_cell],
            strict=True,
        )
        for d_hidden_t, gate_t, cell_t, d_sum_t, cell_before in steps:
            take_in, forget, new, give_out = gate_t.chunk(4, dim=1)
            d_hidden = d_hidden + d_hidden_t
            shown = cell_t.tanh()
            d_cell += tanh_backward(d_hidden * give_out, shown)
            sigmoid_backward(shown.mul_(d_hidden), give_out, grad_input=d_out)
            sigmoid_backward(d_cell * new, take_in, grad_input=d_in)
            sigmoid_backward(d_cell * cell_before, forget, grad_input=d_forget)
            tanh_backward(d_cell * take_in, new, grad_input=d_new)
            d_cell *= forget
            d_hidden = d_sum_t.copy_(d_sum) @ weight_hh
        flat = d_sums.flatten(0, 1)
        d_features = (flat @ weight_ih).view_as(features)
        before = torch.cat([first_hidden[None], hiddens[:-1]]).flatten(0, 1)
        d_bias = flat.sum(0, dtype=torch.float32)
        return d_features, d_hidden, d_cell, flat.t() @ features.flatten(0, 1), flat.t() @ before, d_bias, d_bias
