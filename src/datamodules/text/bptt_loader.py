"""Cuts one long stream of tokens into parallel tracks and yields them window by window."""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from src.datamodules.resumable_loader import ResumableLoader

IGNORED = -100  # torch's mark of a target that no loss counts
MIN_LENGTH = 5  # tokens of a varied window


class BPTTLoader(ResumableLoader):
    """Yields (tokens, targets), both int64 (time, batch): targets[t] is the token after tokens[t].

    With `starts` it yields (tokens, targets, is_start). The third part is bool: whether a token is the first of a
    document, so that the net can reset its state before it. Such a token is still the target of the one before it.

    The stream is cut into batch_size * world_size tracks of equal length; this rank reads batch_size of them. A batch
    continues where the one before it stopped, so a hidden state can be carried over. An epoch starts at the beginning
    of the tracks. It has every token once, except a tail of fewer tokens than there are tracks.

    Source: Merity et al. 2017, arXiv:1708.02182, section 5.

    Args:
        tokens: (length,), of any integer type, in memory or in a memory map, which is read window by window.
        starts: (documents,), the positions of the documents' first tokens, in rising order.
        batch_size: tracks that this rank reads.
        bptt: tokens of a window; the last window has what is left.
        vary: use windows of random length: around `bptt`, or around half of it once in 20 times, with a deviation of
            5, and at least 5. They may be longer than `bptt`.
        keep_tail: yield the tail too. The last track is padded, and targets that are padding are -100 (IGNORED), which
            torch's losses leave out. For an exact mean over the stream, count the other targets.

    Raises:
        ValueError: if there are too few tokens for every track to have one and its target.
    """

    kept = "text, bptt and batch_size"

    def __init__(
        self,
        tokens: Tensor | np.ndarray,
        *,
        starts: np.ndarray | None = None,
        batch_size: int,
        bptt: int,
        vary: bool = False,
        keep_tail: bool = False,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        super().__init__()
        if tokens.ndim != 1:
            raise ValueError(f"tokens must be one stream, got the shape {tuple(tokens.shape)}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be positive, got {batch_size}")
        self.tokens = tokens.cpu().numpy() if isinstance(tokens, Tensor) else np.asarray(tokens)
        self.starts = starts
        self.batch_size = batch_size
        self.vary = vary
        self.seed = seed
        self.num_tracks = batch_size * world_size
        num_pairs = len(self.tokens) - 1  # of a token and the one after it
        if num_pairs < self.num_tracks:
            raise ValueError(
                f"{len(self.tokens)} tokens are too few for a window: {batch_size=}, {world_size=} need "
                f"{self.num_tracks + 1} or more; lower batch_size, or give null"
            )
        self.track_length = -(-num_pairs // self.num_tracks) if keep_tail else num_pairs // self.num_tracks
        self._first = (rank * batch_size + np.arange(batch_size)) * self.track_length
        self.bptt = bptt

    @property
    def bptt(self) -> int:
        """The number of tokens of a track in a window; set it between epochs."""
        return self._bptt

    @bptt.setter
    def bptt(self, bptt: int) -> None:
        if bptt < 1:
            raise ValueError(f"bptt must be positive, got {bptt}")
        self._bptt = bptt
        self._lengths = self._varied_lengths() if self.vary else self._fixed_lengths()

    def __deepcopy__(self, memo: dict[int, Any]) -> "BPTTLoader":
        # Nothing in it is changed in place: the copy has its own position in the same tokens.
        return copy.copy(self)

    def __len__(self) -> int:
        """The number of windows in an epoch, the same in every epoch and on every rank."""
        return len(self._lengths)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        self._start_epoch()
        bounds = self._bounds()
        for batch in self._batches_left():
            yield self._window(bounds[batch], bounds[batch + 1])

    def _bounds(self) -> np.ndarray:
        """The positions in a track at which the windows of the epoch begin, and the end of the last."""
        return np.append(0, np.cumsum(self._lengths_of_epoch()))

    def _window(self, start: int, stop: int) -> tuple[Tensor, ...]:
        places = np.arange(start, stop)[:, None] + self._first
        last = len(self.tokens) - 2
        targets = self.tokens[np.minimum(places, last) + 1].astype(np.int64)
        targets[places > last] = IGNORED
        tokens = self.tokens[np.minimum(places, last)].astype(np.int64)
        batch = torch.from_numpy(tokens), torch.from_numpy(targets)
        return batch if self.starts is None else (*batch, torch.from_numpy(self._is_start(self.starts, places)))

    def _is_start(self, starts: np.ndarray, places: np.ndarray) -> np.ndarray:
        nearest = np.searchsorted(starts, places).clip(max=len(starts) - 1)
        return starts[nearest] == places

    def _fixed_lengths(self) -> np.ndarray:
        full, rest = divmod(self.track_length, self.bptt)
        return np.array([self.bptt] * full + [rest] * (rest > 0))

    def _varied_lengths(self) -> np.ndarray:
        min_length = min(MIN_LENGTH, self.bptt)
        random = np.random.default_rng(self.seed)
        max_windows = -(-self.track_length // min_length)
        centre = np.where(random.random(max_windows) < 0.05, self.bptt / 2, self.bptt)
        lengths = np.maximum(random.normal(centre, 5).astype(np.int64), min_length)
        stops = np.cumsum(lengths)
        lengths = lengths[: np.searchsorted(stops, self.track_length) + 1]
        lengths[-1] -= stops[len(lengths) - 1] - self.track_length
        if lengths[-1] < min_length and len(lengths) > 1:
            lengths[-2] += lengths[-1]
            lengths = lengths[:-1]
        return lengths

    def _lengths_of_epoch(self) -> np.ndarray:
        if not self.vary:
            return self._lengths
        # Differs from the paper: lengths are drawn once, and each epoch has them in another order. Lightning asks for
        # len() once, and a schedule must know its number of steps.
        return np.random.default_rng([self.seed, self.epoch]).permutation(self._lengths)

    def describe_batch(self, batch: int) -> str:
        """Name the tokens that batch number `batch` of the epoch has, for messages."""
        bounds = self._bounds()
        return f"tokens {bounds[batch]} to {bounds[batch + 1]} of each track"

    def _layout(self, next_batch: int) -> dict[str, Any]:
        cut = {"num_tokens": len(self.tokens), "num_tracks": self.num_tracks, "bptt": self.bptt}
        return {**cut, "varied_by_seed": self.seed if self.vary else None}
