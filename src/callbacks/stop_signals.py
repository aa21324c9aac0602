"""Stops a training that gets a signal where it can be resumed exactly: at the end of a step, with last.ckpt saved."""

import signal
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint

from src.core.internals import is_accumulating, is_last_batch, is_validation_next, leave_signals_alone
from src.core.ranks import PendingMax, start_max
from src.core.signals import Stopped, handle, restore, stop
from src.training.checkpoint_io import SaveError, is_unsaved


class StopSignals(Checkpoint):
    """On SIGINT, SIGTERM, SIGUSR1 or SIGUSR2 a training finishes its step, saves last.ckpt and exits.

    Of several ranks any one may get it; all stop after the same step, the next one, since what they agree on is read a
    step later, when it costs nothing to read.
    Rank 0 of each node exits with 128 + the signal's number; the others with 0, since whoever started them would kill
    rank 0, while it closes its loggers, for any other. A second Ctrl-C stops at once; what was saved before stays.
    A handler only notes the signal. Batches that accumulate are one step. A validation that follows the step, or is
    under way, is done first: Lightning leaves it out of a training resumed from before it.
    Before the first step, and after the last, handlers are as they were: those of src/core/signals.py end the
    program. The training's end is saved as last.ckpt in any case.

    A Checkpoint, since Lightning calls these after all other callbacks: what it saves is the whole step. List it last.
    Where last.ckpt cannot be saved (trainer.on_save_error=continue) the exit status is 1.
    Cost: 0.3 us a step; with several ranks a reduction of one number, for which no GPU is waited.
    """

    def __init__(self, *, run_dir: str) -> None:
        self.run_dir = run_dir
        self._handlers: dict[int, Any] | None = None  # those before the training
        self._signal = 0  # that this process got
        self._asked: PendingMax | None = None  # which signal some rank had when this was last asked
        self._agreed = 0  # the one that all ranks know of
        self._note = ""  # once it is saved, or could not be
        self._is_saved = True

    # ---- handlers ----

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        # Lightning's own would exit with 0, and wait within the handler for ranks that wait elsewhere.
        leave_signals_alone(trainer)
        self._signal, self._asked, self._agreed, self._note = 0, None, 0, ""

    def _note_signal(self, signum: int, frame: Any) -> None:
        if self._signal and signum == signal.SIGINT:
            stop(signum, frame)
        self._signal = self._signal or signum

    def _restore(self) -> None:
        handlers, self._handlers = self._handlers, None
        restore(handlers or {})

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        launcher: Any = trainer.strategy.launcher
        if not isinstance(exception, SystemExit):
            self._restore()
        elif not self._note and hasattr(launcher, "kill"):
            launcher.kill(signal.SIGTERM)  # the ranks that this one has started; they know of nothing

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._restore()  # a search may have ended fit

    # ---- steps ----

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._stop_if_saved(trainer)
        if self._handlers is None:  # not before: a search for a learning rate has nothing to save
            self._handlers = handle(self._note_signal)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._is_agreed(trainer) and self._is_between_steps(trainer):
            self._save(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        is_within_epoch = trainer.state.fn == "fit" and not is_last_batch(trainer)
        if is_within_epoch and not trainer.sanity_checking and self._is_agreed(trainer):
            self._save(trainer)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._stop_if_saved(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._is_agreed(trainer):
            self._save(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # Without a signal, too: what was trained after the last validation is in no checkpoint yet.
        self._save(trainer)
        if self._is_agreed(trainer) or self._is_agreed(trainer):  # what was asked just now, too
            self._stop_if_saved(trainer)
        self._note = ""
        self._restore()
        if self._signal:  # it has come just now
            stop(self._signal, None)

    def _is_agreed(self, trainer: pl.Trainer) -> bool:
        if trainer.world_size == 1:
            self._agreed = self._signal
        elif not self._agreed:
            asked, self._asked = self._asked, start_max(torch.tensor(self._signal, device=trainer.strategy.root_device))
            self._agreed = asked.wait() if asked is not None else 0
        return bool(self._agreed)

    def _is_between_steps(self, trainer: pl.Trainer) -> bool:
        """Whether nothing but the next step follows: no batch to accumulate, no validation, no end of an epoch."""
        return not (is_accumulating(trainer) or is_last_batch(trainer) or is_validation_next(trainer))

    def _save(self, trainer: pl.Trainer) -> None:
        path = Path(self.run_dir) / "checkpoints" / "last.ckpt"
        trainer.save_checkpoint(path)
        self._is_saved = not is_unsaved(trainer, path)
        self._note = f" after step {trainer.global_step}; saved {path}; go on with resume=true run_dir={self.run_dir}"

    def _stop_if_saved(self, trainer: pl.Trainer) -> None:
        # Only now: between saving and here Lightning hands the step's, or the epoch's, numbers to the loggers.
        if self._note and not self._is_saved:
            raise SaveError(f"stopped by {signal.Signals(self._agreed).name}, and last.ckpt could not be saved")
        if self._note:
            raise Stopped(self._agreed, self._note) if trainer.local_rank == 0 else SystemExit(0)
