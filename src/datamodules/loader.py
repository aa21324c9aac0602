"""One loader for whatever fits in memory or a memory map: whole batches, no per-row Python, no worker processes."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor


class BatchLoader:
    """Yields tuples of tensors, each a batch of rows of the given tensors.

    Shuffles by (seed, epoch), so that an epoch's order never depends on what ran before. With `world_size` ranks, each
    step's rows are dealt out in turn: together the ranks see every row exactly once, and all take the same number of
    steps. `batch_size` is per rank. Its state is its place in the epoch: Lightning saves it with a checkpoint, and a
    resumed run goes on with the very next batch.

    Source of the idea that whole batches are indexed at once: Keller Jordan's airbench (github.com/KellerJordan).
    """

    def __init__(
        self,
        *tensors: Tensor,
        batch_size: int,
        rows: Tensor | None = None,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """tensors: (rows, ...) each, on any device; indices are made on that device.

        rows: those to yield, int64; all if None. So the splits of a set, too large to copy, share its tensors.
        Raises ValueError if the tensors differ in rows, or if there are too few rows for one batch.
        """
        lengths = {len(tensor) for tensor in tensors}
        if len(lengths) != 1:
            raise ValueError(f"all tensors must have the same number of rows, got {[len(t) for t in tensors]}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be positive, got {batch_size}")
        self.tensors = tensors
        self.rows = (torch.arange(lengths.pop()) if rows is None else rows).to(tensors[0].device)
        self.num_rows = len(self.rows)
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.drop_last = drop_last
        self.rank = rank
        self.world_size = world_size
        self.epoch = -1
        self.next_batch = 0
        self._resumed = False
        if len(self) == 0:
            least = batch_size * world_size if drop_last else world_size
            raise ValueError(
                f"{self.num_rows} rows give no batch: {batch_size=}, {world_size=}, {drop_last=} need {least} or more; "
                "lower batch_size"
            )

    def __len__(self) -> int:
        """The number of steps in an epoch, the same on every rank."""
        full, rest = divmod(self.num_rows, self.batch_size * self.world_size)
        # Fewer rows than ranks would leave a rank without a batch: they join the step before (see _rows).
        return full + (not self.drop_last and rest >= self.world_size)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        # Here and not after the last batch: Lightning stops at len() and never runs what comes after it.
        if not self._resumed:
            self.epoch += 1
            self.next_batch = 0
        self._resumed = False
        order = self._order()
        while self.next_batch < len(self):
            rows = self._rows(order, self.next_batch)
            self.next_batch += 1
            yield tuple(tensor[rows] for tensor in self.tensors)

    def _order(self) -> Tensor:
        if not self.shuffle:
            return self.rows
        mixed = np.random.SeedSequence([self.seed, self.epoch]).generate_state(1, np.uint32)
        generator = torch.Generator().manual_seed(int(mixed[0]))
        return self.rows[torch.randperm(self.num_rows, generator=generator).to(self.rows.device)]

    def _rows(self, order: Tensor, batch: int) -> Tensor:
        size = self.batch_size * self.world_size
        is_last = batch == len(self) - 1
        stop = self.num_rows if is_last and not self.drop_last else (batch + 1) * size
        return order[batch * size : stop][self.rank :: self.world_size]

    def in_words(self, batch: int) -> str:
        """Which rows this rank has in batch number `batch` of the epoch, for messages."""
        rows = self._rows(self._order(), batch).tolist()
        return f"rows {', '.join(map(str, rows[:10]))}{', ...' if len(rows) > 10 else ''}"

    def _shape(self) -> dict[str, int]:
        return {"num_rows": self.num_rows, "rows_per_step": self.batch_size * self.world_size}

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "next_batch": self.next_batch, "num_batches": len(self), **self._shape()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken; after the last batch of an epoch, with the next epoch.

        Raises ValueError in mid-epoch if the rows or the rows per step differ: batches would be skipped or repeated.
        """
        resumed = state["epoch"] >= 0 and state["next_batch"] < state["num_batches"]
        saved = {key: state[key] for key in self._shape()}
        if resumed and saved != self._shape():
            raise ValueError(
                f"a run stopped in mid-epoch goes on with the same rows and the same batch_size times devices, "
                f"got {self._shape()}, {saved} before"
            )
        self.epoch = state["epoch"]
        self.next_batch = state["next_batch"]
        self._resumed = resumed
