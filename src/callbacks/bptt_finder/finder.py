"""Finds a bptt before the training by trying ever longer ones: fast.ai's "highest number that satisfies all these"."""

import gc
import itertools
import math
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer

from src.callbacks import clock
from src.callbacks.bptt_finder.gauge import WARM_UP, StepGauge
from src.callbacks.bptt_finder.loaders import batches_at, check_bptt, rebuild_schedule, set_bptt
from src.callbacks.bptt_finder.search import BPTTSearch, Limits, Rung
from src.callbacks.memory import is_out_of_memory, peak_since_restart_mb, restart_peak
from src.callbacks.search.finder import Finder, search_bar
from src.callbacks.search.snapshot import undone
from src.callbacks.search.training_steps import TrainingBatches, training_steps
from src.core.internals import EndOfFit, use_loader


class BPTTFinder(Finder[BPTTSearch]):
    """Takes a few training steps with ever longer windows, undoes them, and suggests the longest that meets all limits.

    A bptt is usable if its steps fit in memory, every loss and gradient is finite, the gradient does not grow, and it
    is not slow. The gradient is compared with that of the shortest bptt, from the same weights: where backpropagation
    through time explodes, the norm grows by a constant factor with each step back, and a moving yardstick, such as the
    median of the lengths before, would hide that. The loss must be a mean over tokens, not a sum. The search ends at
    the first length that does not fit, is not stable, or makes an epoch a single step.

    It needs a training loader, or a datamodule, with `bptt` (datamodules/text/bptt_loader.py). It runs before a search
    for a learning rate, in whatever order they are listed. It leaves no trace (search/snapshot.py): a training whose
    bptt it does not change is the same, bit for bit, as one without it; one whose bptt it changes is the same as one
    that was started with that bptt. A run that resumes does not search but continues with the bptt found before.

    Args:
        ladder: the lengths to try, increasing.
        steps: optimizer steps at each length, after one to warm up, at the training's first learning rate.
        memory_mb: the highest peak of a step, None for any: of tensors on a GPU, of the whole process on a CPU,
            including the search's second copy of the weights. A length that is sure to exceed it is not tried.
        max_growth: the largest gradient norm, divided by that of the shortest length.
        min_speed: tokens a second, divided by those of the fastest length.
        apply: train with the suggestion.
        stop: end fit after the search.
        folder: where to write bptt_finder.png and bptt_finder.csv; None for nowhere.

    Raises:
        ValueError: not even the shortest length is usable.

    Source: fast.ai's lesson 7.
    """

    name = "bptt_finder"
    metric = "bptt/suggested"

    def __init__(
        self,
        *,
        ladder: Sequence[int] = (8, 16, 32, 64, 128, 256, 512),
        steps: int = 5,
        memory_mb: float | None = None,
        max_growth: float = 10.0,
        min_speed: float = 0.5,
        apply: bool = True,
        stop: bool = False,
        folder: str | None = None,
    ) -> None:
        if not ladder or ladder[0] < 1 or any(later <= earlier for earlier, later in itertools.pairwise(ladder)):
            raise ValueError(f"bptt_finder.ladder must be positive and increase, got {list(ladder)}")
        if steps < 1 or (memory_mb is not None and memory_mb <= 0):
            raise ValueError(f"bptt_finder needs steps >= 1 and memory_mb > 0 or null, got {steps=}, {memory_mb=}")
        if max_growth < 1 or not 0 <= min_speed <= 1:
            raise ValueError(
                f"bptt_finder needs max_growth >= 1 and min_speed within [0, 1], got {max_growth=}, {min_speed=}"
            )
        super().__init__(apply=apply, stop=stop, folder=folder)
        self.ladder = list(ladder)
        self.steps = steps
        self.limits = Limits(memory_mb, max_growth, min_speed)
        self.found: int | None = None

    @property
    def suggestion(self) -> int | None:
        return self.found

    def state_dict(self) -> dict[str, Any]:
        return {"found": self.found, "is_applied": self.apply, "seconds": self.seconds}

    def _resume(self, saved: dict[str, Any], trainer: Trainer, model: LightningModule) -> None:
        self.found, self.seconds, self.apply = saved["found"], saved["seconds"], saved["is_applied"]
        if self.found is not None and self.apply:
            set_bptt(trainer, self.found)

    def setup(self, trainer: Any, pl_module: LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        self.found, self.seconds = None, 0.0  # a checkpoint is loaded after this
        # First of all: a bar and a search for a learning rate need the number of batches that it sets.
        trainer.callbacks = [self, *(callback for callback in trainer.callbacks if callback is not self)]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.ckpt_path:
            length = "stays" if self.found is None else f"was found before: {self.found}"
            self._say(trainer, f"bptt finder: no search, the run resumes from {trainer.ckpt_path}; its bptt {length}")

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.ckpt_path or trainer.global_step or self.found is not None:
            return
        self.search = self._search(trainer)
        self._report(trainer, self.search, self.name)
        self.found = self.search.suggestion
        self.seconds = self.search.seconds
        pl_module.hparams[self.metric] = self.found
        self._log_suggestion()
        if self.stop:
            raise EndOfFit
        if self.apply:
            set_bptt(trainer, self.found)
            rebuild_schedule(trainer)

    def _search(self, trainer: Trainer) -> BPTTSearch:
        check_bptt(trainer)
        started, device = clock.now(), trainer.strategy.root_device
        search = BPTTSearch([], self.ladder, self.limits)
        with search_bar(trainer, "bptt finder", len(self.ladder) * (WARM_UP + self.steps)) as advance:
            for bptt in self.ladder:
                rung = self._rung(trainer, bptt, search, advance)
                search.rungs.append(rung)
                if search.objection(rung):
                    break
        restart_peak(device)  # the training's own peak follows
        return BPTTSearch(search.rungs, self.ladder, self.limits, clock.now() - started)

    def _rung(self, trainer: Trainer, bptt: int, search: BPTTSearch, advance: Callable[[], None]) -> Rung:
        """Take steps with a bptt, if the predicted memory allows, and undo them."""
        gauge, device, failure, epoch = StepGauge(), trainer.strategy.root_device, "", math.nan
        max_mb, expected = self.limits.memory_mb, search.expected_mb(bptt)
        if max_mb is not None and expected > max_mb:
            return Rung(bptt, epoch, expected, failure=f"not tried: {expected:,.0f} MB")
        restart_peak(device)
        try:
            with batches_at(trainer, bptt) as batches, undone(trainer):
                epoch = _begin_epoch(trainer, batches)
                if epoch > 1:
                    self._climb(trainer, batches, gauge, advance)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            failure = "out of memory"
            gc.collect()
        memory = _over_ranks(trainer, peak_since_restart_mb(device), "max")
        step_s = _over_ranks(trainer, gauge.step_s, "max")
        speed = _over_ranks(trainer, gauge.tokens_per_second, "sum")
        return Rung(bptt, epoch, memory, tuple(gauge.losses), tuple(gauge.norms), speed, step_s, failure)

    def _climb(self, trainer: Trainer, batches: TrainingBatches, gauge: StepGauge, advance: Callable[[], None]) -> None:
        with closing(training_steps(trainer, batches, callbacks=[gauge])) as steps:
            for _ in range(WARM_UP + self.steps):
                loss = gauge.take(steps)
                advance()
                if not math.isfinite(loss):
                    break


def _begin_epoch(trainer: Trainer, batches: TrainingBatches) -> float:
    """Begin an epoch of other windows, tell the trainer about them, and return the number of its optimizer steps."""
    batches.begin_epoch()
    length = batches.fetcher.length
    # `undone` restores both.
    use_loader(trainer, batches.loader, math.inf if length is None else length)
    return math.inf if length is None else -(-length // trainer.accumulate_grad_batches)


def _over_ranks(trainer: Trainer, value: float, how: str) -> float:
    """The `how` (max or sum) of a value over all ranks."""
    tensor = torch.tensor(value, device=trainer.strategy.root_device)
    return float(trainer.strategy.reduce(tensor, reduce_op=how))  # pyright: ignore[reportArgumentType]
