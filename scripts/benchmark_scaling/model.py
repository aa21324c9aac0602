"""What communication adds to a training step, and from which batch on several devices pay.

Each device computes on a batch of its own, then all wait until each has the mean of the gradients. Nothing overlaps: so
it is on CPUs, where sending takes the cores that compute; for GPUs, which hide a part of it, it is the worst case.
Messages go around a ring, each with an n-th of the bytes (Patarasuk and Yuan 2009, Bandwidth optimal all-reduce
algorithms for clusters of workstations).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# What each step of ours sends besides: is a loss NaN, has a signal come?
SMALL_MESSAGES = 2


@dataclass(frozen=True)
class Link:
    """What joins neighbours: seconds that any message takes, and the bytes of a long one in a second."""

    latency_s: float
    bytes_per_second: float

    def gather_s(self, num_bytes: float, num_ranks: int) -> float:
        """Seconds of an all-gather, or of a reduce-scatter: n - 1 messages, one after the other."""
        return (num_ranks - 1) * (self.latency_s + num_bytes / num_ranks / self.bytes_per_second)

    def all_reduce_s(self, num_bytes: float, num_ranks: int) -> float:
        """Seconds of an all-reduce: a reduce-scatter, then an all-gather."""
        return 2 * self.gather_s(num_bytes, num_ranks)

    def ddp_s(self, num_bytes: float, num_ranks: int) -> float:
        """What DDP adds to a step, for gradients of so many bytes.

        FSDP adds the same (src/training/fsdp.py): weights are gathered once, gradients reduced and scattered.
        """
        return self.all_reduce_s(num_bytes, num_ranks) + SMALL_MESSAGES * self.all_reduce_s(0, num_ranks)


def fit_link(sizes: Sequence[float], seconds: Sequence[float], num_ranks: int) -> Link:
    """The link that explains measured all-reduces of sizes in bytes, by least squares of the relative errors."""
    messages, sent = 2 * (num_ranks - 1), 2 * (num_ranks - 1) / num_ranks * np.array(sizes)
    columns = np.stack([np.full(len(sizes), messages), sent], 1) / np.array(seconds)[:, None]
    latency_s, seconds_per_byte = np.linalg.lstsq(columns, np.ones(len(sizes)))[0].tolist()
    return Link(latency_s, 1 / seconds_per_byte)


def efficiency(compute_s: float, communication_s: float) -> float:
    """The share of a step in which devices compute: n of them do n times this share of what one does."""
    return compute_s / (compute_s + communication_s)


def least_batch(batch: float, compute_s: float, communication_s: float, *, efficiency: float) -> float:
    """The batch of each device from which on they are that efficient, if computing on `batch` takes `compute_s`.

    Below the one for 1 / n, n devices do less than one alone. Computing is taken to last in proportion to the batch,
    communication the same for any.
    """
    return batch * communication_s / compute_s * efficiency / (1 - efficiency)
