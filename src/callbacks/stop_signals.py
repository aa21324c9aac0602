"""Stops a training that gets a signal at the end of a step, with last.ckpt saved, where it can resume exactly."""

import signal
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint

from src.callbacks import clock
from src.core.internals import is_accumulating, is_last_batch, is_validation_next, leave_signals_alone
from src.core.ranks import PendingMax, start_max
from src.core.saving import SaveError
from src.core.signals import Stopped, handle, restore
from src.training.checkpoint_io import is_unsaved

SAVE = 1  # stands among the signals' numbers for the wish to save; SIGHUP, which has it, is not one of them


class StopSignals(Checkpoint):
    """On SIGINT, SIGTERM, SIGUSR1 or SIGUSR2 a training finishes its step, saves last.ckpt and exits.

    Any rank may get the signal. All ranks stop after the same step, the next one: they read what they agreed on one
    step later, when reading it no longer waits. Batches that accumulate are one step. A validation that follows the
    step, or has begun, is finished first, because Lightning skips it when a training resumes from before it. A second
    Ctrl-C stops at once; earlier checkpoints stay. The end of a training is always saved as last.ckpt.

    Rank 0 of each node exits with 128 + the signal's number, or with 1 if last.ckpt could not be saved
    (trainer.on_save_error=continue). The other ranks exit with 0: on any other status the launcher would kill rank 0
    while it closes its loggers.

    It also saves last.ckpt every few minutes, after a step, and goes on: a crash or a kill -9 costs no more than that.

    Before the first step and after the last one, the handlers of src/core/signals.py end the program.

    This is a Checkpoint because Lightning calls those after all other callbacks, and must be listed last: it saves the
    whole step. Cost: 2 us a step on a busy CPU; with several ranks a reduction of one number that waits for no GPU.

    Args:
        run_dir: the run's folder.
        save_every_minutes: time between two saves within an epoch, above 0.
    """

    def __init__(self, *, run_dir: str, save_every_minutes: float) -> None:
        if not save_every_minutes > 0:
            raise ValueError(f"stop_signals.save_every_minutes must be positive, got {save_every_minutes}")
        self.run_dir = run_dir
        self.save_every_minutes = save_every_minutes
        self._handlers: dict[int, Any] | None = None  # from before the training
        self._signal = 0  # that this process got
        self._asked: PendingMax | None = None  # started in the last step: which signal some rank had, or SAVE
        self._agreed = 0  # the one that all ranks know
        self._saved = 0.0  # when the last save was asked for, in seconds of the clock
        self._note = ""  # set once it is saved, or could not be
        self._is_saved = True

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        # Lightning's handlers exit with 0, and wait for ranks that wait elsewhere.
        leave_signals_alone(trainer)
        self._signal, self._asked, self._agreed, self._note = 0, None, 0, ""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._saved = clock.now()

    def _note_signal(self, signum: int, frame: Any) -> None:
        if self._signal and signum == signal.SIGINT:
            raise Stopped(signum)
        self._signal = self._signal or signum

    def _restore(self) -> None:
        handlers, self._handlers = self._handlers, None
        restore(handlers or {})

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        launcher: Any = trainer.strategy.launcher
        if not isinstance(exception, SystemExit):
            self._restore()
        elif not self._note and hasattr(launcher, "kill"):
            launcher.kill(signal.SIGTERM)  # the ranks that this one started know nothing about it

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._restore()
        if self._signal:  # and no step has ended since: a finder has ended fit
            raise Stopped(self._signal)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._stop_if_saved(trainer)
        if self._handlers is None:  # not earlier: a finder has nothing to save
            self._handlers = handle(self._note_signal)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._agree(trainer) and self._is_between_steps(trainer):
            self._save_as_agreed(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        is_within_epoch = trainer.state.fn == "fit" and not is_last_batch(trainer)
        if is_within_epoch and not trainer.sanity_checking and self._agree(trainer):
            self._save_as_agreed(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stop_if_saved(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._agree(trainer):
            self._save_as_agreed(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Even without a signal: no checkpoint holds the steps after the last validation yet.
        if not trainer.fast_dev_run:  # pyright: ignore[reportAttributeAccessIssue]
            self._save(trainer)
        self._agreed = 0 if self._agreed == SAVE else self._agreed
        self._agree(trainer)
        self._agree(trainer)  # reads what the first has asked
        if self._agreed > SAVE:
            self._stop_if_saved(trainer)
        self._note = ""
        self._restore()
        if self._signal:  # it came just now
            raise Stopped(self._signal)

    def _agree(self, trainer: Trainer) -> bool:
        """Whether all ranks know of a signal, or that it is time to save. All ranks must call this as often."""
        if trainer.world_size == 1:
            self._agreed = max(self._agreed, self._wish())
        elif self._agreed <= SAVE:
            self._agreed = max(self._agreed, self._asked.wait() if self._asked is not None else 0)
            if self._agreed == SAVE:
                self._saved = clock.now()  # another rank has asked
            self._asked = start_max(torch.tensor(self._wish(), device=trainer.strategy.root_device))
        return bool(self._agreed)

    def _wish(self) -> int:
        """The signal that this process got, or SAVE once when it is time to."""
        is_time = clock.now() - self._saved > 60 * self.save_every_minutes
        if is_time:
            self._saved = clock.now()
        return self._signal or SAVE * is_time

    def _is_between_steps(self, trainer: Trainer) -> bool:
        """Whether the next step follows directly: no batch to accumulate, no validation, no end of an epoch."""
        return not (is_accumulating(trainer) or is_last_batch(trainer) or is_validation_next(trainer))

    def _save(self, trainer: Trainer) -> None:
        path = Path(self.run_dir) / "checkpoints" / "last.ckpt"
        trainer.save_checkpoint(path)
        self._is_saved = not is_unsaved(trainer, path)
        self._note = f" after step {trainer.global_step}; saved {path}; go on with resume=true run_dir={self.run_dir}"

    def _save_as_agreed(self, trainer: Trainer) -> None:
        self._save(trainer)
        if self._agreed == SAVE:
            self._agreed, self._note = 0, ""

    def _stop_if_saved(self, trainer: Trainer) -> None:
        # Not earlier: after the save Lightning still sends the numbers of the step or epoch to the loggers.
        if self._note and not self._is_saved:
            raise SaveError(f"stopped by {signal.Signals(self._agreed).name}, and last.ckpt could not be saved")
        if self._note:
            raise Stopped(self._agreed, self._note) if trainer.local_rank == 0 else SystemExit(0)
