"""Lightning's Trainer with the two defaults that it leaves to its users."""

import logging
import sys
import warnings
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ProgressBar


class Trainer(pl.Trainer):
    """A Trainer whose `precision` may be "auto", and which is quiet when nobody watches.

    precision: "auto" is bf16-mixed where the hardware multiplies in bf16, 32-true elsewhere; all of Lightning's too.
    """

    def __init__(self, *, precision: str, accelerator: str = "auto", **kwargs: Any) -> None:
        if precision == "auto":
            precision = "bf16-mixed" if multiplies_in_bf16(accelerator) else "32-true"
        # Lightning's advice and announcements; its warnings stay, all but one about its own use of torch 2.13.
        logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
        warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*")
        callbacks = kwargs.get("callbacks") or []
        super().__init__(
            precision=precision,  # pyright: ignore[reportArgumentType]
            accelerator=accelerator,
            enable_progress_bar=any(isinstance(callback, ProgressBar) for callback in callbacks),
            enable_model_summary=sys.stdout.isatty(),
            **kwargs,
        )


def multiplies_in_bf16(accelerator: str) -> bool:
    """Whether bf16 is a speed-up on the GPU, if one is there and meant to be used, or else on the CPU."""
    if accelerator != "cpu" and torch.cuda.is_available():
        return torch.cuda.get_device_capability() >= (8, 0)
    if accelerator in ("auto", "cpu") and not torch.backends.mps.is_available():
        capabilities = torch.cpu.get_capabilities()
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return False
