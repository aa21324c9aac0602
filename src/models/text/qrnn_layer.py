"""One QRNN layer: a convolution over time computes gates, which then blend values over time."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.kernels.forget_mult import forget_mult
from src.models.dropout import check_dropout, drop, keep, random_mask
from src.models.text.run_segments import checked_state, run_segments

# The gates of each pooling, in the order of the linear map's rows.
GATES = {"f": "zf", "fo": "zfo", "ifo": "zfoi"}

# The cell, (batch, hidden_size); for window 2 also the last input, (batch, input_size).
QRNNLayerState = tuple[Tensor, ...]


class QRNNLayer(nn.Module):
    """One matrix product for all gates of all time steps; only the blend with the value before goes step by step.

    Here f is the chance of the new input; the paper's f is our 1 - f.
    Source: Bradbury et al. 2017, arXiv:1611.01576, section 2; DropConnect on the weights as in Merity et al. 2017.

    Args:
        pooling: "f", "fo" or "ifo".
        window: How many inputs each step sees, 1 or 2.
        zoneout: Chance that a value of the state stays as it was.
    """

    def __init__(
        self, input_size: int, hidden_size: int, *, pooling: str, window: int, zoneout: float, weight_dropout: float
    ) -> None:
        super().__init__()
        if pooling not in GATES:
            raise ValueError(f"pooling must be one of {', '.join(GATES)}, got {pooling!r}")
        if window not in (1, 2):
            raise ValueError(f"window must be 1 or 2, got {window!r}")
        check_dropout(zoneout=zoneout, weight_dropout=weight_dropout)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.gates = GATES[pooling]
        self.window = window
        self.zoneout = zoneout
        self.weight_dropout = weight_dropout
        self.linear = nn.Linear(window * input_size, len(self.gates) * hidden_size)

    def forward(
        self, features: Tensor, state: QRNNLayerState | None = None, starts: Tensor | None = None
    ) -> tuple[Tensor, QRNNLayerState]:
        """Return the hidden values of all time steps, (time, batch, hidden_size), and the state after the last.

        Args:
            features: (time, batch, input_size).
            state: As the call before returned it; None is zeros.
            starts: bool (time, batch): where true, the state before the step is zero; the mask stays the same.
        """
        sizes = [self.hidden_size, self.input_size][: self.window]
        state = checked_state(features, state, self.input_size, sizes)
        weight = self.linear.weight
        if self.training and self.weight_dropout:
            weight = drop(weight, self.weight_dropout)
        return run_segments(partial(self._run, weight), features, state, starts)

    def _run(self, weight: Tensor, features: Tensor, state: QRNNLayerState) -> tuple[Tensor, QRNNLayerState]:
        cell, *last_input = state
        gates = F.linear(self._windows(features, *last_input), weight, self.linear.bias)
        z, f, *others = gates.chunk(len(self.gates), -1)
        o, i = [gate.sigmoid() for gate in others] + [None] * (2 - len(others))
        cells = forget_mult(self._zone_out(f.sigmoid()), z.tanh(), cell, i=i)
        # Cloned: a view would keep the whole window in memory.
        after = (cells[-1].clone(), *([features[-1].clone()] if self.window == 2 else []))
        return cells if o is None else o * cells, after

    def _windows(self, features: Tensor, last_input: Tensor | None = None) -> Tensor:
        """Return each step's input, for window 2 after the input before it: (time, batch, window * input_size)."""
        if last_input is None:
            return features
        before = torch.cat([last_input.unsqueeze(0), features])[:-1]
        return torch.cat([before, features], -1)

    def _zone_out(self, f: Tensor) -> Tensor:
        """Return f with zoneout: the paper's 1 - dropout(1 - f) without rescaling, for its f.

        Where our f becomes 0, f- and fo-pooling keep the cell, but ifo-pooling still adds its input. In evaluation f is
        its mean over the draws, as in Krueger et al. 2016, arXiv:1606.01305.
        """
        if not self.zoneout:
            return f
        return keep(f, random_mask(f, self.zoneout)) if self.training else f * (1 - self.zoneout)
