"""Dynamic evaluation: a net that goes on learning from the text that it is tested on."""

import copy

import torch
from torch import Tensor, nn

from src.core.internals import blend_


class DynamicEvaluation:
    """A copy of a net takes a step of gradient descent on each window of a test, once that window has been scored.

    theta <- theta - lr * gradient + decay * (theta_0 - theta), where theta_0 are the trained weights; the gradient is
    of the window's mean loss, nothing is dropped out. So a window's length (datamodule.bptt) is a choice, too. With
    several tracks (datamodule.eval_batch_size) one copy learns from all of them at once; the number to report is that
    of one track. The net itself is never changed, however the test ends.

    To choose lr and decay, test on the validation text: task=test datamodule.test_files=[VALIDATION FILE].

    Source: Krause et al. 2018, arXiv:1709.07432, sections 3 and 4.
    Differs from the paper: no steps scaled by the mean square of gradients, which the training text would have to be
    read again for; not measured.
    """

    net: nn.Module  # the copy, from `begin` to `end`

    def __init__(self, *, lr: float, decay: float) -> None:
        """Raises ValueError if a choice is out of range."""
        if not lr > 0 or not 0 <= decay < 1:
            raise ValueError(f"dynamic evaluation needs lr > 0 and decay within [0, 1), got {lr=}, {decay=}")
        self.lr = lr
        self.decay = decay

    def begin(self, net: nn.Module, world_size: int) -> None:
        """Raises ValueError for more than one rank: each would learn from its own part of the text."""
        if world_size > 1:
            raise ValueError(
                f"dynamic evaluation learns from one text on one device, got {world_size}; set trainer.devices=1"
            )
        with torch.inference_mode(False):
            self.net = copy.deepcopy(net).eval().requires_grad_()
            for module in self.net.modules():
                if isinstance(module, nn.RNNBase):
                    # cuDNN has gradients in training mode only; a copy's weights no longer lie in one piece.
                    module.train().flatten_parameters()
                    module.dropout = 0.0
        self._adapted: list[Tensor] = list(self.net.parameters())
        self._trained: list[Tensor] = list(net.parameters())
        self._optimizer = torch.optim.SGD(self._adapted, lr=self.lr)

    def learn(self, loss: Tensor) -> None:
        """Take one step; loss: what the copy made of a window that has been scored."""
        self._optimizer.zero_grad()
        with torch.autocast(loss.device.type, enabled=False):
            loss.backward()
        with torch.no_grad():
            blend_(self._adapted, self._trained, self.decay)
        self._optimizer.step()

    def end(self) -> None:
        """Forget the copy."""
        del self.net, self._adapted, self._trained, self._optimizer
