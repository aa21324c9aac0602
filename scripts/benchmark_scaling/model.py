"""A model of what communication adds to a training step, and from which batch on several devices pay.

Each device computes on a batch of its own, then all wait until each has the mean of the gradients. Nothing overlaps.
That is true of CPUs, where sending takes the cores that compute; for GPUs, which hide a part of it, it is the worst
case. Messages go around a ring, each with an n-th of the bytes (Patarasuk and Yuan 2009, Bandwidth optimal all-reduce
algorithms for clusters of workstations).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# What each training step also sends: is a loss NaN, has a signal come?
SMALL_MESSAGES = 2


@dataclass(frozen=True)
class Link:
    """The connection of neighbours: the seconds that any message takes, and the speed of a long one."""

    latency_s: float
    bytes_per_second: float

    def gather_s(self, num_bytes: float, num_ranks: int) -> float:
        """Predict an all-gather, or a reduce-scatter: n - 1 messages, one after the other."""
        return (num_ranks - 1) * (self.latency_s + num_bytes / num_ranks / self.bytes_per_second)

    def all_reduce_s(self, num_bytes: float, num_ranks: int) -> float:
        """Predict an all-reduce: a reduce-scatter, then an all-gather."""
        return 2 * self.gather_s(num_bytes, num_ranks)

    def ddp_s(self, num_bytes: float, num_ranks: int) -> float:
        """Predict what DDP adds to a step, for gradients of `num_bytes`.

        FSDP (src/training/fsdp.py) adds the same: it gathers the weights once, and scatters the reduced gradients.
        """
        return self.all_reduce_s(num_bytes, num_ranks) + SMALL_MESSAGES * self.all_reduce_s(0, num_ranks)


def fit_link(sizes: Sequence[float], seconds: Sequence[float], num_ranks: int) -> Link:
    """Find the link that explains measured all-reduces of these sizes in bytes, by least squares of relative errors."""
    messages, sent = 2 * (num_ranks - 1), 2 * (num_ranks - 1) / num_ranks * np.array(sizes)
    columns = np.stack([np.full(len(sizes), messages), sent], 1) / np.array(seconds)[:, None]
    latency_s, seconds_per_byte = np.linalg.lstsq(columns, np.ones(len(sizes)))[0].tolist()
    return Link(latency_s, 1 / seconds_per_byte)


def efficiency(compute_s: float, communication_s: float) -> float:
    """The share of a step in which devices compute; n of them do n times this share of the work of one."""
    return compute_s / (compute_s + communication_s)


def min_batch(batch: float, compute_s: float, communication_s: float, *, efficiency: float) -> float:
    """The smallest batch of each device at which they reach an efficiency, if computing on `batch` takes `compute_s`.

    Below the batch for 1 / n, n devices do less than one alone. The model assumes that the time to compute grows with
    the batch, and that the time to communicate is the same for all.
    """
    return batch * communication_s / compute_s * efficiency / (1 - efficiency)
