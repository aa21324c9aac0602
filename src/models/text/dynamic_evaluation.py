"""Dynamic evaluation: a net keeps learning from the text that it is tested on."""

import copy

import torch
from torch import Tensor, nn

from src.core.internals import blend_


class DynamicEvaluation:
    """A copy of a net takes one step of gradient descent on each window of a test, after the window is scored.

    theta <- theta - lr * gradient + decay * (theta_0 - theta), where theta_0 are the trained weights and the gradient
    is of the window's mean loss, without dropout. So the window's length (datamodule.bptt) matters. With several tracks
    (datamodule.eval_batch_size) one copy learns from all of them; report the number for one track. The net itself
    never changes.

    To choose lr and decay, test on the validation text: task=test datamodule.test_files=[VALIDATION FILE].

    Source: Krause et al. 2018, arXiv:1709.07432, sections 3 and 4.
    Differs from the paper: steps are not scaled by the mean square of gradients, which would need another pass over
    the training text; not measured.
    """

    net: nn.Module  # the copy, from `begin` to `end`

    def __init__(self, *, lr: float, decay: float) -> None:
        if not lr > 0 or not 0 <= decay < 1:
            raise ValueError(f"dynamic evaluation needs lr > 0 and decay within [0, 1), got {lr=}, {decay=}")
        self.lr = lr
        self.decay = decay

    def begin(self, net: nn.Module, world_size: int) -> None:
        """Copy the net; ValueError with several ranks: each would learn from its own part of the text."""
        if world_size > 1:
            raise ValueError(
                f"dynamic evaluation learns from one text on one device, got {world_size}; set trainer.devices=1"
            )
        with torch.inference_mode(False):
            self.net = copy.deepcopy(net).eval().requires_grad_()
            for module in self.net.modules():
                if isinstance(module, nn.RNNBase):
                    # cuDNN has gradients in training mode only, and a copy's weights are no longer in one buffer.
                    module.train().flatten_parameters()
                    module.dropout = 0.0
        self._adapted: list[Tensor] = list(self.net.parameters())
        self._trained: list[Tensor] = list(net.parameters())
        self._optimizer = torch.optim.SGD(self._adapted, lr=self.lr)

    def learn(self, loss: Tensor) -> None:
        """Take one step on the copy's loss of a window that is already scored."""
        self._optimizer.zero_grad()
        with torch.autocast(loss.device.type, enabled=False):
            loss.backward()
        with torch.no_grad():
            blend_(self._adapted, self._trained, self.decay)
        self._optimizer.step()

    def end(self) -> None:
        """Delete the copy."""
        del self.net, self._adapted, self._trained, self._optimizer
