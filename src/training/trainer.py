"""Lightning's Trainer with the choices that it leaves to its users."""

import ctypes
import logging
import sys
import warnings
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ProgressBar
from pytorch_lightning.plugins.environments import SLURMEnvironment, TorchElasticEnvironment

from src.training.checkpoint_io import CheckpointIO, is_unsaved


class Trainer(pl.Trainer):
    """A Trainer whose `precision` may be "auto", quiet when nobody watches, and frugal with page faults.

    precision: "auto" is bf16-mixed where the hardware multiplies in bf16, 32-true elsewhere; all of Lightning's too.
    on_save_error: see src/training/checkpoint_io.py, which writes and reads all checkpoints.
    Raises ValueError if a GPU is asked for and there is none.
    """

    def __init__(
        self,
        *,
        precision: str,
        accelerator: str = "auto",
        on_save_error: Literal["stop", "continue"] = "stop",
        plugins: list[Any] | None = None,
        **kwargs: Any,
    ) -> None:
        silence_lightning()
        keep_freed_memory()
        if accelerator in ("gpu", "cuda") and torch.accelerator.current_accelerator(check_available=True) is None:
            raise ValueError(
                f"trainer.accelerator={accelerator} (trainer=fsdp has it) needs a GPU, and torch finds none; "
                "trainer=ddp_cpu is for several processes on the CPU"
            )
        if precision == "auto":
            precision = "bf16-mixed" if multiplies_in_bf16(accelerator) else "32-true"
        callbacks = kwargs.get("callbacks") or []
        super().__init__(
            precision=precision,  # pyright: ignore[reportArgumentType]
            accelerator=accelerator,
            enable_progress_bar=any(isinstance(callback, ProgressBar) for callback in callbacks),
            enable_model_summary=False,  # the progress bar says it in a line
            plugins=[*(plugins or []), CheckpointIO(on_save_error), *launched_by_slurm()],
            **kwargs,
        )

    def best_checkpoint(self) -> str | None:
        """The fit's best checkpoint; None, for the weights as they are, if there is none. All ranks must ask.

        Says so if it could not be saved: what lies there is an older one.
        """
        best = getattr(self.checkpoint_callback, "best_model_path", "")
        if is_unsaved(self, best):
            sys.stderr.write("warning: the best weights could not be saved: tested are the last ones\n")
            best = ""
        return self.strategy.broadcast(best) or None


def silence_lightning() -> None:
    """Leave out Lightning's advice and announcements, and those of its warnings that mean nothing here."""
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for known in (
        ".*treespec, LeafSpec",  # its own use of torch 2.13
        "Checkpoint directory .* is not empty",  # a resumed run
        "The dirpath has changed",  # another's checkpoint
        "Grad strides do not match bucket view strides",  # DDP, of weights with a size of 1: not an error
        "The `srun` command is available",  # a run beside SLURM
    ):
        warnings.filterwarnings("ignore", message=known)


def launched_by_slurm() -> list[SLURMEnvironment]:
    """What is to know of the tasks that srun started, without Lightning's requeue, in which two ranks wait for ever."""
    if TorchElasticEnvironment.detect() or not SLURMEnvironment.detect():
        return []
    return [SLURMEnvironment(auto_requeue=False)]


def multiplies_in_bf16(accelerator: str) -> bool:
    """Whether bf16 is a speed-up on the GPU, if one is there and meant to be used, or else on the CPU."""
    if accelerator != "cpu" and torch.cuda.is_available():
        return torch.cuda.get_device_capability() >= (8, 0)
    if accelerator in ("auto", "cpu") and not torch.backends.mps.is_available():
        # torch 2.3, which torchtext needs, cannot tell.
        capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return False


def keep_freed_memory() -> None:
    """Have glibc keep what a step frees for the next step; by default large blocks go back to the system each time.

    Faulting them in again cost 5 % of a ResNet-18 step (batch 64, bf16): 0.06 s of system time in 1.13 s, then 0.006.
    """
    if sys.platform != "linux":
        return
    mmap_threshold, trim_threshold = -3, -1  # M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of malloc.h
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(mmap_threshold, 2**30)
        libc.mallopt(trim_threshold, 2**31 - 1)
