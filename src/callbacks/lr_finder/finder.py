"""Finds a learning rate before the training by trying ever larger ones: fast.ai's learning-rate finder."""

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any, Literal

import numpy as np
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint

from src.callbacks import clock
from src.callbacks.lr_finder.held_out import held_out_batch, held_out_loss
from src.callbacks.lr_finder.peak import RatesAt, epochs_left, move_peak, read_schedule, reference_peak, set_module_lr
from src.callbacks.lr_finder.rules import MIN_STEPS, RULES, Curve, UnreadableCurve, is_over
from src.callbacks.lr_finder.search import LRSearch
from src.callbacks.search.finder import Finder, search_bar
from src.callbacks.search.snapshot import undone
from src.callbacks.search.training_steps import TrainingBatches, training_steps
from src.core.internals import EndOfFit


class LRFinder(Finder[LRSearch]):
    """Takes training steps with ever larger learning rates until the loss diverges, undoes them, and suggests a rate.

    The rate is the peak of the schedule for the last parameter group of the first optimizer. All other groups keep
    their ratio to it, and momentum has the value that it has at the peak. The search leaves no trace
    (search/snapshot.py): if it does not change the rate, the training is the same, bit for bit, as without it. A run
    that resumes from a checkpoint does not search at epoch 0 but continues with the rate found before.

    Args:
        rule: the rule whose suggestion counts (rules.py).
        apply: train with the suggestion.
        stop: end fit after the search.
        epochs: search at the start of these; after the first, the running schedule is scaled to the new peak.
        min_lr: the first rate.
        max_lr: the last rate.
        num_steps: the number of rates; each is tried for one optimizer step.
        ladder: space the rates evenly by their logarithm (exponential) or linearly.
        on: look at the loss of each step's batch, before the step (train), or of one fixed batch of the validation
            loader, after the step (valid).
        repeats: the number of searches, each with other batches; the median counts.
        folder: where to write lr_finder.png and lr_finder.csv; None for nowhere.

    Raises:
        ValueError: the curve is too short or too flat to be read; the message says what to change.

    Source: Smith 2017, arXiv:1506.01186, section 3.3; fast.ai's lesson 2.
    """

    name = "lr_finder"
    metric = "lr/suggested"

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
        if rule not in RULES:
            raise ValueError(f"lr_finder.rule must be one of {', '.join(RULES)}, got {rule}")
        if not 0 < min_lr < max_lr:
            raise ValueError(f"lr_finder needs 0 < min_lr < max_lr, got {min_lr=}, {max_lr=}")
        if num_steps < MIN_STEPS or repeats < 1:
            raise ValueError(f"lr_finder needs num_steps >= {MIN_STEPS} and repeats >= 1, got {num_steps=}, {repeats=}")
        for name, value, known in (("ladder", ladder, ("exponential", "linear")), ("on", on, ("train", "valid"))):
            if value not in known:
                raise ValueError(f"lr_finder.{name} must be {' or '.join(known)}, got {value}")
        super().__init__(apply=apply, stop=stop, folder=folder)
        self.rule = rule
        self.epochs = list(epochs)
        space = np.geomspace if ladder == "exponential" else np.linspace
        self.ladder = space(min_lr, max_lr, num_steps)
        self.on = on
        self.repeats = repeats
        self.found: dict[int, float] = {}  # by epoch
        self._module_lr: float | None = None

    @property
    def suggestion(self) -> float | None:
        return list(self.found.values())[-1] if self.found else None

    def state_dict(self) -> dict[str, Any]:
        return {"found": self.found, "module_lr": self._module_lr, "seconds": self.seconds}

    def _resume(self, saved: dict[str, Any], trainer: Trainer, model: LightningModule) -> None:
        # The schedule is built from the module's own lr; the checkpoint brings the rest.
        self.found, self._module_lr, self.seconds = saved["found"], saved["module_lr"], saved["seconds"]
        if self._module_lr is not None:
            set_module_lr(model, self._module_lr)

    def setup(self, trainer: Any, pl_module: LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        self.found, self._module_lr, self.seconds = {}, None, 0.0  # a checkpoint is loaded after this
        # After callbacks that freeze, resize or average, but before checkpoints. Lightning still iterates the old list.
        others = [callback for callback in trainer.callbacks if callback is not self]
        savers = [callback for callback in others if isinstance(callback, Checkpoint)]
        trainer.callbacks = [*(c for c in others if c not in savers), self, *savers]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.ckpt_path and 0 in self.epochs:
            rate = f"its lr was found before: {self.found[0]:.3g}" if 0 in self.found else "its lr stays"
            self._say(trainer, f"lr finder: no search, the run resumes from {trainer.ckpt_path}; {rate}")
        if trainer.fit_loop.restarted_mid_epoch and trainer.fit_loop.epoch_loop.batch_progress.is_last_batch:
            # Saved between an epoch's last batch and its end: the next epoch gets no on_train_epoch_start.
            self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epoch = trainer.current_epoch
        if epoch not in self.epochs or epoch in self.found or (epoch == 0 and trainer.ckpt_path):
            return
        try:
            self.search = self._search(trainer)
        except UnreadableCurve as error:
            if trainer.global_step == 0:
                raise
            self.found[epoch] = reference_peak(trainer)
            self._say(trainer, f"{error}. The training continues unchanged, at a peak of {self.found[epoch]:.3g}.")
            return
        rate = self.found[epoch] = self.search.suggestion
        self.seconds += self.search.seconds
        self._report(trainer, self.search, "lr_finder" if epoch == self.epochs[0] else f"lr_finder_epoch_{epoch}")
        pl_module.hparams[self.metric] = rate
        if self.apply:
            self._module_lr = move_peak(trainer, rate) or self._module_lr
        if self.stop:
            self._log_suggestion()
            raise EndOfFit

    def _search(self, trainer: Trainer) -> LRSearch:
        if self.on == "valid" and not trainer.lightning_module.automatic_optimization:
            raise ValueError("lr_finder.on=valid needs automatic optimization: it runs training_step without a step")
        started = clock.now()
        batches, curves = TrainingBatches(trainer), []
        with closing(batches), search_bar(trainer, "lr finder", self.repeats * len(self.ladder)) as advance:
            schedule, epochs = read_schedule(trainer), epochs_left(trainer)
            for _ in range(self.repeats):
                with undone(trainer):
                    climbed = self._climb(trainer, batches, RatesAt(trainer, schedule), advance)
                curves.append(Curve(*climbed, schedule.mean, epochs))
        return LRSearch(curves, self.rule, self.ladder, clock.now() - started)

    def _climb(
        self, trainer: Trainer, batches: TrainingBatches, rates: RatesAt, advance: Callable[[], None]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Take a step at each rate until the loss diverges; returns the rates and their losses."""
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
