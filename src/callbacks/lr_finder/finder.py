"""Finds a learning rate before the training, by trying a ladder of them: fast.ai's learning-rate finder."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.utilities import rank_zero_only

from src.callbacks.figure import publish
from src.callbacks.lr_finder.peak import (
    RatesAt,
    epochs_to_come,
    move_peak,
    reference_peak,
    schedule_to_come,
    set_module_lr,
)
from src.callbacks.lr_finder.rules import FEWEST, RULES, Curve, UnreadableCurve, is_over
from src.callbacks.lr_finder.search import LRSearch
from src.callbacks.search.bar import search_bar
from src.callbacks.search.once import search_once
from src.callbacks.search.snapshot import undone
from src.callbacks.search.training_steps import TrainingBatches, held_out_batch, held_out_loss, training_steps
from src.core.internals import EndOfFit

rank_zero_print = rank_zero_only(print)


class LRFinder(pl.Callback):
    """Takes training steps with ever larger learning rates until the loss diverges, undoes them, and suggests a rate.

    The rate is the schedule's peak for the last parameter group of the first optimizer; all other groups keep their
    ratio to it, and momentum is what it will be at the peak. The search leaves no trace (search/snapshot.py): a
    training whose rate it does not change is the same, bit for bit, as one without it.

    rule: whose suggestion counts (rules.py).  apply: train with it.  stop: end fit after the search.
    epochs: search at the start of these; after the first, the running schedule is scaled to the new peak. The search
    at epoch 0 is left out when a run resumes from a checkpoint: it goes on with the rate it found.
    min_lr, max_lr, num_steps, ladder: the rates, each tried for one optimizer step, evenly spaced by their logarithm or
    linearly.  on: the loss to look at: of each step's batch, before the step, or of one fixed batch of the validation
    loader, after it.  repeats: search so often, each time with other batches, and suggest the median.
    folder: where lr_finder.png and lr_finder.csv go; None for nowhere.

    Raises ValueError if the curve is too short or too flat to be read, and says what to change.
    Source: Smith 2017, arXiv:1506.01186, section 3.3; fast.ai's lesson 2.
    """

    def __init__(
        self,
        *,
        rule: str = "combined",
        apply: bool = True,
        stop: bool = False,
        epochs: Sequence[int] = (0,),
        min_lr: float = 1e-7,
        max_lr: float = 10.0,
        num_steps: int = 100,
        ladder: Literal["exponential", "linear"] = "exponential",
        on: Literal["train", "valid"] = "train",
        repeats: int = 1,
        folder: str | None = None,
    ) -> None:
        """Raises ValueError if a choice is not one of those there are, or out of range."""
        if rule not in RULES:
            raise ValueError(f"lr_finder.rule must be one of {', '.join(RULES)}, got {rule}")
        if not 0 < min_lr < max_lr:
            raise ValueError(f"lr_finder needs 0 < min_lr < max_lr, got {min_lr=}, {max_lr=}")
        if num_steps < FEWEST or repeats < 1:
            raise ValueError(f"lr_finder needs num_steps >= {FEWEST} and repeats >= 1, got {num_steps=}, {repeats=}")
        for name, value, known in (("ladder", ladder, ("exponential", "linear")), ("on", on, ("train", "valid"))):
            if value not in known:
                raise ValueError(f"lr_finder.{name} must be {' or '.join(known)}, got {value}")
        self.rule = rule
        self.apply = apply
        self.stop = stop
        self.epochs = list(epochs)
        space = np.geomspace if ladder == "exponential" else np.linspace
        self.ladder = space(min_lr, max_lr, num_steps)
        self.on = on
        self.repeats = repeats
        self.folder = None if folder is None else Path(folder)
        self.search: LRSearch | None = None
        self.found: dict[int, float] = {}  # by epoch
        self.seconds = 0.0  # of all searches
        self._module_lr: float | None = None

    def find(self, trainer: Any, model: pl.LightningModule, datamodule: Any = None, **loaders: Any) -> LRSearch:
        """Search at the start of a training that `trainer.fit` with the same arguments would do, and leave it to come.

        loaders: train_dataloaders, val_dataloaders, instead of a datamodule.  Returns the search, with its `curve`,
        `suggestions` and `plot()`.
        """
        return search_once(self._search, trainer, model, datamodule=datamodule, **loaders)

    # ---- saved and resumed ----

    def state_dict(self) -> dict[str, Any]:
        return {"found": self.found, "module_lr": self._module_lr, "seconds": self.seconds}

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Let a resumed training build its schedule from the rate found before; the checkpoint brings the rest."""
        if trainer.state.fn != "fit":
            return
        if self.stop:
            raise ValueError("lr_finder.stop searches before a training: leave out resume and checkpoint")
        saved = checkpoint.get("callbacks", {}).get(self.state_key)
        if saved:
            self.found, self._module_lr, self.seconds = saved["found"], saved["module_lr"], saved["seconds"]
            if self._module_lr is not None:
                set_module_lr(pl_module, self._module_lr)
            if self.found:
                pl_module.hparams["lr/suggested"] = list(self.found.values())[-1]

    # ---- within fit ----

    def setup(self, trainer: Any, pl_module: pl.LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        self.found, self._module_lr, self.seconds = {}, None, 0.0  # a checkpoint is loaded after this
        # After all that freezes, resizes or averages; but checkpoints stay last. Lightning goes on with the old list.
        others = [callback for callback in trainer.callbacks if callback is not self]
        savers = [callback for callback in others if isinstance(callback, Checkpoint)]
        trainer.callbacks = [*(c for c in others if c not in savers), self, *savers]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.ckpt_path and 0 in self.epochs:
            rate = f"its lr was found before: {self.found[0]:.3g}" if 0 in self.found else "its lr stays"
            rank_zero_print(f"lr finder: no search, the run resumes from {trainer.ckpt_path}; {rate}")
        if trainer.fit_loop.restarted_mid_epoch and trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            # Saved after an epoch's last batch, before its end: the next one gets no on_train_epoch_start.
            self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        epoch = trainer.current_epoch
        if epoch not in self.epochs or epoch in self.found or (epoch == 0 and trainer.ckpt_path):
            return
        try:
            self.search = self._search(trainer)
        except UnreadableCurve as error:
            if trainer.global_step == 0:
                raise
            self.found[epoch] = reference_peak(trainer)
            rank_zero_print(f"{error}. The training goes on as it was, at a peak of {self.found[epoch]:.3g}.")
            return
        rate = self.found[epoch] = self.search.suggestion
        self.seconds += self.search.seconds
        self._show(trainer, self.search)
        pl_module.hparams["lr/suggested"] = rate
        if self.apply:
            self._module_lr = move_peak(trainer, rate) or self._module_lr
        if self.stop:
            self._log_found()
            raise EndOfFit

    def _show(self, trainer: pl.Trainer, search: LRSearch) -> None:
        rank_zero_print(search.table())
        if self.folder is not None and trainer.is_global_zero:
            is_first = trainer.current_epoch == self.epochs[0]
            name = "lr_finder" if is_first else f"lr_finder_epoch_{trainer.current_epoch}"
            search.write(self.folder / f"{name}.csv")
            publish(search.plot(), self.folder / f"{name}.png", trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.found:
            self._log_found()

    def _log_found(self) -> None:
        how: dict[str, Any] = {"on_step": False, "on_epoch": True, "batch_size": 1, "sync_dist": True}
        self.log("lr/suggested", list(self.found.values())[-1], **how)  # pyright: ignore[reportAttributeAccessIssue]
        self.log("time/lr_finder_s", self.seconds, logger=False, **how)  # pyright: ignore[reportAttributeAccessIssue]

    def _search(self, trainer: pl.Trainer) -> LRSearch:
        if self.on == "valid" and not trainer.lightning_module.automatic_optimization:
            raise ValueError("lr_finder.on=valid needs automatic optimization: it runs training_step without a step")
        started = time.perf_counter()
        batches, curves = TrainingBatches(trainer), []
        with closing(batches), search_bar(trainer, "lr finder", self.repeats * len(self.ladder)) as advance:
            schedule, epochs = schedule_to_come(trainer), epochs_to_come(trainer)
            for _ in range(self.repeats):
                with undone(trainer):
                    climbed = self._climb(trainer, batches, RatesAt(trainer, schedule), advance)
                curves.append(Curve(*climbed, schedule.mean, epochs))
        return LRSearch(curves, self.rule, self.ladder, time.perf_counter() - started)

    def _climb(
        self, trainer: pl.Trainer, batches: TrainingBatches, rates: RatesAt, advance: Callable[[], None]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Take a step at each rung, until the loss diverges; the rates and their losses."""
        held_out = held_out_batch(trainer) if self.on == "valid" else None
        losses: list[float] = []
        with closing(training_steps(trainer, batches, rates)) as steps:
            for rates.peak in self.ladder.tolist():
                loss = next(steps)
                losses.append(loss if held_out is None else held_out_loss(trainer, held_out))
                advance()
                if is_over(losses):
                    break
        return self.ladder[: len(losses)], np.array(losses)
