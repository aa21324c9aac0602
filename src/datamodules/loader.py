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
    If the last step would leave a rank without a row, its rows join the step before; in training (shuffle) also if a
    rank would have a single row, for which batch norm has no statistics.

    Source of the idea that whole batches are indexed at once: Keller Jordan's airbench (github.com/KellerJordan).

    Args:
        *tensors: (rows, ...) each, on any device; indices are made on that device.
        batch_size: rows of a batch, per rank.
        rows: int64, the rows to yield; None means all. The splits of a large set share its tensors in this way.
        groups: int64, the group of each row to yield, on the CPU. A shuffled epoch then has equally many rows of each
            group, see `balanced_order`, and as many in all as without groups.
        drop_last: leave out a last batch that is not full.
        same_steps: divide the rows among steps in the same way for any number of ranks that shares out as many rows a
            step. If the last step would have less than half of the rows of another, it shares those of the one before.
            Otherwise the rows left join the step before if there are fewer of them than ranks.

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
        groups: Tensor | None = None,
        seed: int = 0,
        drop_last: bool = False,
        same_steps: bool = False,
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
        self.groups = groups
        self.seed = seed
        self.drop_last = drop_last
        self.rank = rank
        self.world_size = world_size
        self._stops = self._divide(same_steps)  # of the steps, as positions in the order of an epoch
        smallest = np.diff(self._stops, prepend=0).min(initial=self.num_rows)
        if not len(self) or smallest < world_size:
            min_rows = batch_size * world_size if drop_last else world_size
            raise ValueError(
                f"{self.num_rows} rows are too few for a batch: {batch_size=}, {world_size=}, {drop_last=} need "
                f"{min_rows} or more; lower batch_size, or give null"
            )

    def _divide(self, same_steps: bool) -> np.ndarray:
        size = self.batch_size * self.world_size
        full, rest = divmod(self.num_rows, size)
        stops = np.arange(1, full + 1) * size
        if self.drop_last or not rest:
            return stops
        if same_steps and full:
            stops[-1] -= max(0, (size - rest) // 2) if 2 * rest < size else 0
        elif full and rest < self.world_size * (2 if self.shuffle else 1):
            return np.append(stops[:-1], self.num_rows)
        elif rest < self.world_size:  # a rank would have no row
            return stops
        return np.append(stops, self.num_rows)

    def __len__(self) -> int:
        """The number of steps in an epoch, the same on every rank."""
        return len(self._stops)

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
        if self.groups is None:
            order = torch.randperm(self.num_rows, generator=generator)
        else:
            order = balanced_order(self.groups, generator)
        return self.rows[order.to(self.rows.device)]

    def _rows(self, order: Tensor, batch: int) -> Tensor:
        start = self._stops[batch - 1] if batch else 0
        return order[start : self._stops[batch]][self.rank :: self.world_size]

    def describe_batch(self, batch: int) -> str:
        """Name the rows that this rank has in batch number `batch` of the epoch, for messages."""
        rows = self._rows(self._order(), batch).tolist()
        return f"rows {', '.join(map(str, rows[:10]))}{', ...' if len(rows) > 10 else ''}"

    def _layout(self, next_batch: int) -> dict[str, int]:
        return {
            "num_rows": self.num_rows,
            "rows_per_step": self.batch_size * self.world_size,
            "rows_before": int(self._stops[min(next_batch, len(self)) - 1]) if next_batch else 0,
        }


def balanced_order(groups: Tensor, generator: torch.Generator) -> Tensor:
    """Draw as many positions as there are rows, equally many of each group, in random order.

    The counts of two groups differ by one at most; so do those of two rows of a group.

    Args:
        groups: int64 (rows,).
        generator: decides all that is drawn.

    Returns:
        Positions, int64 (rows,).
    """
    members = [(groups == group).nonzero().flatten() for group in groups.unique()]
    quotas = torch.full((len(members),), len(groups) // len(members))
    quotas[torch.randperm(len(members), generator=generator)[: len(groups) % len(members)]] += 1
    drawn = []
    for rows, quota in zip(members, quotas.tolist(), strict=True):
        rounds = [rows[torch.randperm(len(rows), generator=generator)] for _ in range(-(-quota // len(rows)))]
        drawn.append(torch.cat([rows[:0], *rounds])[:quota])
    return torch.cat(drawn)[torch.randperm(len(groups), generator=generator)]
