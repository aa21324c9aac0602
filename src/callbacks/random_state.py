"""Saves the random state with each checkpoint, so that a resumed run draws what the uninterrupted one would have."""

import random
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from src.core.ranks import gather


class RandomState(pl.Callback):
    """Keeps all ranks' states of torch's, CUDA's, numpy's and Python's generators in the checkpoint, as plain data.

    All ranks build the net from one seed; from the first step on each draws numbers of its own, for its own rows.
    A run that goes on with another number of devices does so with other numbers.
    """

    def __init__(self) -> None:
        self._loaded: list[dict[str, Any]] = []

    def state_dict(self) -> dict[str, Any]:
        return {"ranks": gather(random_state())}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._loaded = state_dict["ranks"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Only now: between loading and the first step, building and checking draw random numbers of their own.
        loaded, self._loaded = self._loaded, []
        if len(loaded) == trainer.world_size:
            set_random_state(loaded[trainer.global_rank])
        elif trainer.global_rank:
            seed = torch.initial_seed() + trainer.global_rank
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)
            random.seed(seed)


def random_state() -> dict[str, Any]:
    """The states of this process's generators."""
    _, keys, position, has_gauss, gauss = np.random.get_state()
    version, internal, gauss_next = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,  # of this rank's own device
        "numpy": [keys.tolist(), position, has_gauss, gauss],  # pyright: ignore[reportAttributeAccessIssue]
        "python": [version, list(internal), gauss_next],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Have this process's generators go on where `random_state` found them."""
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"])
    keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state(("MT19937", np.array(keys, dtype=np.uint32), position, has_gauss, gauss))
    version, internal, gauss_next = state["python"]
    random.setstate((version, tuple(internal), gauss_next))
