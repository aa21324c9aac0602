"""A number that all ranks look at together, without waiting for a GPU before they must."""

import torch
from torch import Tensor

from src.core.ranks import max_over_ranks


class Agreement:
    """The largest of all ranks' numbers, on its way to this process; all must make one.

    A GPU goes on meanwhile: `value` waits only for what had been queued when the agreement was made.
    """

    def __init__(self, number: Tensor) -> None:
        largest = max_over_ranks(number)
        self._here = largest.to("cpu", non_blocking=True)
        self._is_here = torch.cuda.Event() if largest.is_cuda else None
        if self._is_here is not None:
            self._is_here.record()

    @property
    def value(self) -> int:
        """The number, the same on every rank."""
        if self._is_here is not None:
            self._is_here.synchronize()
        return int(self._here)
