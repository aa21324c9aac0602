"""Cuts one long stream of tokens into tracks and yields window after window of all of them."""

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

IGNORED = -100  # torch's own mark of a target that no loss counts
LEAST = 5  # tokens of a varied window


class BPTTLoader:
    """Yields (tokens, targets), both int64 (time, batch): targets[t] is the token after tokens[t].

    With `starts`, the places of documents' first tokens, it yields (tokens, targets, is_start), the last bool: where
    one is in tokens, that the net may begin anew before it. It is a target all the same, after another document's end.

    The stream is cut into batch_size * world_size tracks of one length, of which this rank reads batch_size. A batch
    goes on where the one before it stopped, so a hidden state can be carried over; an epoch begins at the tracks'
    beginnings. Every token is seen once an epoch, but for a tail of fewer tokens than there are tracks. Its state is
    its place in the epoch, as BatchLoader's is.

    vary: windows of random length: around `bptt`, or half of it once in 20 times, with a deviation of 5, and no shorter
    than 5. They may be longer than `bptt`. Fixed windows have `bptt` tokens, the last one what is left.
    keep_tail: see the tail, too: the last track is padded, and targets that are padding are -100 (IGNORED), which
    torch's losses leave out. Count the targets that are not, to get a mean that is exact over the stream.

    Source: Merity et al. 2017, arXiv:1708.02182, section 5.
    """

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
        """tokens: (length,), of any integer type, in memory or in a memory map, which is read window by window.

        starts: (documents,), in rising order.
        Raises ValueError if there are too few tokens for every track to have one and its target.
        """
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
                f"{len(self.tokens)} tokens give no window: {batch_size=}, {world_size=} need {self.num_tracks + 1} or "
                "more; lower batch_size"
            )
        self.track_length = -(-num_pairs // self.num_tracks) if keep_tail else num_pairs // self.num_tracks
        self._first = (rank * batch_size + np.arange(batch_size)) * self.track_length
        self.bptt = bptt
        self.epoch = -1
        self.next_batch = 0
        self._resumed = False

    @property
    def bptt(self) -> int:
        """How many tokens of a track a window has; to be set between epochs."""
        return self._bptt

    @bptt.setter
    def bptt(self, bptt: int) -> None:
        if bptt < 1:
            raise ValueError(f"bptt must be positive, got {bptt}")
        self._bptt = bptt
        self._lengths = self._varied_lengths() if self.vary else self._fixed_lengths()

    def __deepcopy__(self, memo: dict[int, Any]) -> "BPTTLoader":
        # Nothing in it is changed in place: the copy has a place of its own in the same tokens.
        return copy.copy(self)

    def __len__(self) -> int:
        """The number of windows in an epoch, the same in every epoch and on every rank."""
        return len(self._lengths)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        # Here and not after the last window: Lightning stops at len() and never runs what comes after it.
        if not self._resumed:
            self.epoch += 1
            self.next_batch = 0
        self._resumed = False
        stops = np.cumsum(self._lengths_of_epoch())
        while self.next_batch < len(stops):
            start = stops[self.next_batch - 1] if self.next_batch else 0
            stop = stops[self.next_batch]
            self.next_batch += 1
            yield self._window(start, stop)

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
        least = min(LEAST, self.bptt)
        random = np.random.default_rng(self.seed)
        most = -(-self.track_length // least)
        centre = np.where(random.random(most) < 0.05, self.bptt / 2, self.bptt)
        lengths = np.maximum(random.normal(centre, 5).astype(np.int64), least)
        stops = np.cumsum(lengths)
        lengths = lengths[: np.searchsorted(stops, self.track_length) + 1]
        lengths[-1] -= stops[len(lengths) - 1] - self.track_length
        if lengths[-1] < least and len(lengths) > 1:
            lengths[-2] += lengths[-1]
            lengths = lengths[:-1]
        return lengths

    def _lengths_of_epoch(self) -> np.ndarray:
        if not self.vary:
            return self._lengths
        # Differs from the paper: one draw of lengths, in another order each epoch. Lightning asks for len() once, and
        # a schedule has to know its number of steps.
        return np.random.default_rng([self.seed, self.epoch]).permutation(self._lengths)

    def in_words(self, batch: int) -> str:
        """Which tokens batch number `batch` of the epoch has, for messages."""
        stops = np.cumsum(self._lengths_of_epoch())
        return f"tokens {stops[batch - 1] if batch else 0} to {stops[batch]} of each track"

    def _shape(self) -> dict[str, Any]:
        cut = {"num_tokens": len(self.tokens), "num_tracks": self.num_tracks, "bptt": self.bptt}
        return {**cut, "varied_by_seed": self.seed if self.vary else None}

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "next_batch": self.next_batch, "num_batches": len(self), **self._shape()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken; after the last window of an epoch, with the next epoch.

        Raises ValueError in mid-epoch if the stream is another or cut otherwise: tokens would be skipped or repeated.
        """
        resumed = state["epoch"] >= 0 and state["next_batch"] < state["num_batches"]
        saved = {key: state[key] for key in self._shape()}
        if resumed and saved != self._shape():
            raise ValueError(
                "a run stopped in mid-epoch goes on with the same text, bptt and batch_size times devices, "
                f"got {self._shape()}, {saved} before"
            )
        self.epoch = state["epoch"]
        self.next_batch = state["next_batch"]
        self._resumed = resumed
