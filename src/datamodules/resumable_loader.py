"""What all loaders share: they count epochs and batches, and a resumed run goes on with the very next batch."""

from collections.abc import Iterator
from typing import Any


class ResumableLoader:
    """Base of the loaders. Its state is its place in the epoch; Lightning saves it with a checkpoint.

    A subclass calls `_start_epoch` at the top of `__iter__` and then takes its batches from `_batches_left`.

    Attributes:
        kept: what must not change when a run goes on in the middle of an epoch, in words.
    """

    kept: str

    def __init__(self) -> None:
        self.epoch = -1
        self.next_batch = 0
        self._resumed = False

    def __len__(self) -> int:
        raise NotImplementedError

    def _layout(self, next_batch: int) -> dict[str, Any]:
        """How the data are cut into batches, in all and before a batch; plain values, saved with the state."""
        raise NotImplementedError

    def _start_epoch(self) -> None:
        # At the start and not after the last batch: Lightning stops at len() and never runs what comes after it.
        if not self._resumed:
            self.epoch += 1
            self.next_batch = 0
        self._resumed = False

    def _batches_left(self) -> Iterator[int]:
        """Yield the number of each batch that the epoch still has."""
        while self.next_batch < len(self):
            self.next_batch += 1
            yield self.next_batch - 1

    def state_dict(self) -> dict[str, Any]:
        return {
            "epoch": self.epoch,
            "next_batch": self.next_batch,
            "num_batches": len(self),
            **self._layout(self.next_batch),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken; after the last batch of an epoch, with the next epoch.

        Raises ValueError in the middle of an epoch, if the data or the batches differ: some would be skipped or
        repeated.
        """
        resumed = state["epoch"] >= 0 and state["next_batch"] < state["num_batches"]
        layout = self._layout(state["next_batch"])
        saved = {key: state.get(key, value) for key, value in layout.items()}  # older ones lack rows_before
        if resumed and saved != layout:
            raise ValueError(
                f"a run that stopped in the middle of an epoch must go on with the same {self.kept} times devices, "
                f"got {layout}, {saved} before"
            )
        self.epoch = state["epoch"]
        self.next_batch = state["next_batch"]
        self._resumed = resumed
