"""Saves the random state with each checkpoint; a resumed run draws the same numbers as an uninterrupted one."""

import random
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from src.core.ranks import gather


class RandomState(Callback):
    """Keeps the state of torch's, CUDA's, numpy's and Python's generators of all ranks in the checkpoint.

    All ranks build the net from one seed. From the first step on, each rank draws its own numbers. A run that resumes
    with another number of devices draws other numbers.
    """

    def __init__(self) -> None:
        self._loaded: list[dict[str, Any]] = []

    def state_dict(self) -> dict[str, Any]:
        return {"ranks": gather(random_state())}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._loaded = state_dict["ranks"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Not earlier: building the net and the sanity check draw numbers between loading and the first step.
        loaded, self._loaded = self._loaded, []
        if len(loaded) == trainer.world_size:
            set_random_state(loaded[trainer.global_rank])
        elif trainer.global_rank:
            seed = torch.initial_seed() + trainer.global_rank
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)
            random.seed(seed)


def random_state() -> dict[str, Any]:
    """The states of this process's generators, as plain data."""
    _, keys, position, has_gauss, gauss = np.random.get_state()
    version, internal, gauss_next = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,  # of this rank's own device
        "numpy": [keys.tolist(), position, has_gauss, gauss],  # pyright: ignore[reportAttributeAccessIssue]
        "python": [version, list(internal), gauss_next],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Set this process's generators to what `random_state` returned."""
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"])
    keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state(("MT19937", np.array(keys, dtype=np.uint32), position, has_gauss, gauss))
    version, internal, gauss_next = state["python"]
    random.setstate((version, tuple(internal), gauss_next))
