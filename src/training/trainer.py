"""Lightning's Trainer with this project's choices."""

import ctypes
import logging
import math
import os
import sys
import warnings
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ProgressBar
from pytorch_lightning.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
from pytorch_lightning.strategies import DDPStrategy

from src.core.internals import build_model, resume_by_epochs
from src.core.output import warn
from src.core.ranks import WAYS_OUT
from src.core.sharding import is_sharded
from src.training.checkpoint_io import CheckpointIO, is_unsaved
from src.training.ddp import DDP
from src.training.length import FittingEpochs


class NetFirst(pl.Callback):
    """Builds the net before the `setup` of other callbacks, which then find it, such as Lightning's SWA.

    Lightning builds it after that. A net that is to be divided among devices is left to it.
    """

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if not is_sharded(trainer):
            build_model(trainer)


class Trainer(pl.Trainer):
    """A Trainer with automatic precision, safe checkpoints and few page faults, which prints no advice.

    Args:
        precision: one of Lightning's, or "auto": bf16-mixed if the hardware multiplies in bf16, else 32-true.
        on_save_error: see CheckpointIO.
        enable_progress_bar: None: if there is a callback for it.
        log_every_n_steps: steps between two points of the curves; None: a hundredth of the training, at most 50.
        max_epochs: None: by the steps of an epoch, see `fitting_epochs`, unless something else ends the training.
        max_minutes: about how long to train, for the callback TimeBudget; max_epochs and max_steps may end it before.

    Raises:
        ValueError: the accelerator is a GPU and torch finds none, or max_minutes is not positive or lacks its callback.
    """

    def __init__(
        self,
        *,
        precision: str,
        accelerator: str = "auto",
        on_save_error: Literal["stop", "continue"] = "stop",
        enable_model_summary: bool = False,  # the progress bar has a line for it
        enable_progress_bar: bool | None = None,
        log_every_n_steps: int | None = None,
        max_epochs: int | None = None,
        max_minutes: float | None = None,
        plugins: Any = None,
        callbacks: Any = None,
        **kwargs: Any,
    ) -> None:
        silence_lightning()
        keep_freed_memory()
        if accelerator in ("gpu", "cuda") and torch.accelerator.current_accelerator(check_available=True) is None:
            raise ValueError(
                f"trainer.accelerator={accelerator} (the default of trainer=fsdp) needs a GPU, and torch finds none; "
                "trainer=ddp_cpu is for several processes on the CPU"
            )
        if precision == "auto":
            precision = "bf16-mixed" if multiplies_in_bf16(accelerator) else "32-true"
        own_callbacks = callbacks if isinstance(callbacks, list) else [callbacks] * (callbacks is not None)
        if enable_progress_bar is None:
            enable_progress_bar = any(isinstance(callback, ProgressBar) for callback in own_callbacks)
        if max_minutes is not None and not max_minutes > 0:
            raise ValueError(f"trainer.max_minutes must be positive, got {max_minutes}")
        if max_minutes is not None and not any(hasattr(callback, "keeps_max_minutes") for callback in own_callbacks):
            raise ValueError("trainer.max_minutes needs the callback time_budget, which callbacks=default has")
        self.max_minutes = max_minutes
        # Lightning's own answer to None is 1,000 epochs.
        is_bounded = max_minutes is not None or kwargs.get("max_time") is not None or kwargs.get("max_steps", -1) != -1
        length = [FittingEpochs()] if max_epochs is None and not is_bounded else []
        own_plugins = plugins if isinstance(plugins, list) else [plugins] * (plugins is not None)
        super().__init__(
            precision=precision,  # pyright: ignore[reportArgumentType]
            accelerator=accelerator,
            enable_model_summary=enable_model_summary,
            enable_progress_bar=enable_progress_bar,
            callbacks=[NetFirst(), *length, *own_callbacks],
            max_epochs=-1 if max_epochs is None else max_epochs,
            plugins=[*own_plugins, CheckpointIO(on_save_error), *launched_by_slurm()],
            **kwargs,
        )
        if type(self.strategy) is DDPStrategy:  # whichever name or arguments have made it
            self.strategy.__class__ = DDP
        self.log_every_n_steps = log_every_n_steps
        resume_by_epochs(self)

    @property
    def log_every_n_steps(self) -> int:
        """Steps between two points of the curves; of a training whose length is not known, 50."""
        if self._log_every_n_steps is not None:
            return self._log_every_n_steps
        epochs, steps = (bound if bound and bound > 0 else math.inf for bound in (self.max_epochs, self.max_steps))
        steps = min(steps, self.num_training_batches * epochs / self.accumulate_grad_batches)
        return int(max(1, min(5000, steps) // 100))

    @log_every_n_steps.setter
    def log_every_n_steps(self, steps: int | None) -> None:
        self._log_every_n_steps = steps

    def best_checkpoint(self) -> str | None:
        """The fit's best checkpoint; None if there is none or it could not be saved. All ranks must call this."""
        best = getattr(self.checkpoint_callback, "best_model_path", "")
        if is_unsaved(self, best):
            warn("the best weights could not be saved; the last ones are tested")
            best = ""
        return self.strategy.broadcast(best) or None


def silence_lightning() -> None:
    """Hide Lightning's advice, its announcements, and those of its warnings that do not apply here."""
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("pytorch_lightning.profilers").setLevel(logging.INFO)  # trainer.profiler reports there
    for known in (
        ".*treespec, LeafSpec",  # its own use of torch 2.13
        "Checkpoint directory .* is not empty",  # in a resumed run
        "Be aware that when using `ckpt_path`, callbacks",  # src/callbacks/resume_state.py says it in a line
        "The dirpath has changed",  # with the checkpoint of another run
        "Grad strides do not match bucket view strides",  # DDP, for weights with a size of 1: harmless
        "The `srun` command is available",  # in a run without SLURM
    ):
        warnings.filterwarnings("ignore", message=known)


def launched_by_slurm() -> list[SLURMEnvironment]:
    """Lightning's plugin for tasks that srun started, without its requeueing, in which two ranks wait for ever.

    Raises ValueError if the job was given --ntasks, which Lightning does not accept.
    """
    if TorchElasticEnvironment.detect() or not SLURMEnvironment.detect():
        return []
    try:
        return [SLURMEnvironment(auto_requeue=False)]
    except RuntimeError:
        tasks = os.environ["SLURM_NTASKS"]
        raise ValueError(f"SLURM has {tasks} tasks, and no number for each node: {WAYS_OUT['srun']}") from None


def multiplies_in_bf16(accelerator: str) -> bool:
    """Whether the GPU in use, or else the CPU, is faster in bf16."""
    if accelerator != "cpu" and torch.cuda.is_available():
        return torch.cuda.get_device_capability() >= (8, 0)
    if accelerator in ("auto", "cpu") and not torch.backends.mps.is_available():
        # torch 2.3, which torchtext needs, cannot tell.
        capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return False


def keep_freed_memory() -> None:
    """Let glibc keep the memory that a step frees for the next step; by default it returns large blocks to the system.

    To get them back cost 5 % of a ResNet-18 step (batch 64, bf16): 0.06 s of system time in 1.13 s, now 0.006 s.
    """
    if sys.platform != "linux":
        return
    mmap_threshold, trim_threshold = -3, -1  # M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of malloc.h
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(mmap_threshold, 2**30)
        libc.mallopt(trim_threshold, 2**31 - 1)
