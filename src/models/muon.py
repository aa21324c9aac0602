"""Muon: momentum whose update for a weight matrix is replaced by the nearest semi-orthogonal matrix."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

# Coefficients of the odd quintic that moves every singular value towards 1, into about 0.7 to 1.2.
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


class Muon(torch.optim.Optimizer):
    """Muon for convolution filters, read as matrices with one row per output channel; Nesterov SGD for the rest.

    An orthogonal update is scaled by sqrt(max(1, rows / columns)), which lets one lr serve every shape.
    torch.optim.Muon takes matrices only, but the nets here have filters.
    Source: Keller Jordan and others 2024, kellerjordan.github.io/posts/muon, "Definition" and "Design considerations".

    Args:
        lr: Of the filters.
        weight_decay: Decoupled: each step multiplies the weight by 1 - lr * weight_decay.
        sgd_ratio: The lr of biases, norms and linear layers divided by the lr of the filters.
        bias_ratio: The same of parameters with one axis, which are biases and norms; None: sgd_ratio.
        renormalise: Whether each step first scales a filter tensor to a norm of the square root of its output channels,
            which keeps the share that a step changes; in place of weight decay.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float,
        *,
        momentum: float,
        weight_decay: float,
        sgd_ratio: float,
        newton_schulz_steps: int,
        bias_ratio: float | None = None,
        renormalise: bool = False,
    ) -> None:
        if not lr > 0 or not 0 <= momentum < 1 or weight_decay < 0 or newton_schulz_steps < 1:
            raise ValueError(
                "Muon needs lr > 0, 0 <= momentum < 1, weight_decay >= 0 and newton_schulz_steps >= 1, "
                f"got {lr=}, {momentum=}, {weight_decay=}, {newton_schulz_steps=}"
            )
        self.newton_schulz_steps = newton_schulz_steps
        self.bias_ratio = bias_ratio
        self.renormalise = renormalise
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "sgd_ratio": sgd_ratio})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group)
        return loss

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(gradient)
        momentum = state["momentum"].mul_(group["momentum"]).add_(gradient)
        update = gradient.add(momentum, alpha=group["momentum"])
        is_filter = parameter.ndim == 4
        if is_filter and self.renormalise:
            parameter.mul_(len(parameter) ** 0.5 / parameter.norm())
        lr = group["lr"] * self._ratio(parameter, group["sgd_ratio"])
        parameter.mul_(1 - lr * group["weight_decay"])
        parameter.sub_(self._orthogonal(update) if is_filter else update, alpha=lr)

    def _ratio(self, parameter: Tensor, sgd_ratio: float) -> float:
        """The parameter's lr divided by the lr of the filters."""
        if parameter.ndim == 4:
            return 1.0
        return self.bias_ratio if parameter.ndim == 1 and self.bias_ratio is not None else sgd_ratio

    def _orthogonal(self, update: Tensor) -> Tensor:
        # Any fixed order of a filter's entries works; this one needs no copy if channels come last in memory.
        rows = update.permute(0, 2, 3, 1).flatten(1)
        scale = max(1.0, rows.shape[0] / rows.shape[1]) ** 0.5
        orthogonal = orthogonalize(rows, self.newton_schulz_steps).to(update.dtype) * scale
        out, inner, height, width = update.shape
        return orthogonal.view(out, height, width, inner).permute(0, 3, 1, 2)


def orthogonalize(matrix: Tensor, steps: int) -> Tensor:
    """Return the matrix in bfloat16 with its singular vectors kept and its singular values moved near 1.

    Source: the Newton-Schulz iteration of the Muon post, "Design considerations".
    """
    linear, cubic, quintic = NEWTON_SCHULZ
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).bfloat16()
    x = x / (x.norm() + 1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=cubic, alpha=quintic), x, beta=linear)
    return x.T if tall else x
