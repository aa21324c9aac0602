"""One loader for whatever fits in memory or a memory map: whole batches, no per-row Python, no worker processes."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from src.datamodules.resumable_loader import ResumableLoader


class BatchLoader(ResumableLoader):
    """Yields tuples of tensors; each tuple is a batch of rows of the given tensors.

    It shuffles by (seed, epoch): the order of an epoch never depends on what ran before. With several ranks, the rows
    of each step are dealt out in turn. Together the ranks see every row exactly once, and all take as many steps.

    Source of the idea that whole batches are indexed at once: Keller Jordan's airbench (github.com/KellerJordan).

    Args:
        *tensors: (rows, ...) each, on any device; indices are made on that device.
        batch_size: rows of a batch, per rank.
        rows: int64, the rows to yield; None means all. The splits of a large set share its tensors in this way.
        drop_last: leave out a last batch that is not full.

    Raises:
        ValueError: if the tensors differ in rows, or if there are too few rows for one batch.
    """

    kept = "rows and the same batch_size"

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
        super().__init__()
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
        if len(self) == 0:
            min_rows = batch_size * world_size if drop_last else world_size
            raise ValueError(
                f"{self.num_rows} rows are too few for a batch: {batch_size=}, {world_size=}, {drop_last=} need "
                f"{min_rows} or more; lower batch_size"
            )

    def __len__(self) -> int:
        """The number of steps in an epoch, the same on every rank."""
        full, rest = divmod(self.num_rows, self.batch_size * self.world_size)
        # Fewer rows than ranks would leave a rank without a batch: they join the step before (see _rows).
        return full + (not self.drop_last and rest >= self.world_size)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        self._start_epoch()
        order = self._order()
        for batch in self._batches_left():
            rows = self._rows(order, batch)
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

    def describe_batch(self, batch: int) -> str:
        """Name the rows that this rank has in batch number `batch` of the epoch, for messages."""
        rows = self._rows(self._order(), batch).tolist()
        return f"rows {', '.join(map(str, rows[:10]))}{', ...' if len(rows) > 10 else ''}"

    def _layout(self) -> dict[str, int]:
        return {"num_rows": self.num_rows, "rows_per_step": self.batch_size * self.world_size}
