"""Finds a bptt before the training, by trying a ladder of them: fast.ai's "highest number that satisfies all these"."""

import gc
import itertools
import math
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_only

from src.callbacks.bptt_finder.gauge import WARM_UP, StepGauge, is_out_of_memory, peak_mb, restart_peak
from src.callbacks.bptt_finder.loaders import batches_at, check_bptt, rebuild_schedule, set_bptt
from src.callbacks.bptt_finder.search import BPTTSearch, Limits, Rung
from src.callbacks.figure import publish
from src.callbacks.search.bar import search_bar
from src.callbacks.search.once import search_once
from src.callbacks.search.snapshot import undone
from src.callbacks.search.training_steps import TrainingBatches, training_steps
from src.core.internals import EndOfFit, use_loader

rank_zero_print = rank_zero_only(print)


class BPTTFinder(pl.Callback):
    """Takes a few training steps with ever longer windows, undoes them, and suggests the longest that will do.

    A bptt will do if its steps fit in memory, if every loss and gradient is finite and the gradient does not grow, and
    if it is not slow. The gradient is compared with that of the shortest, from the same weights: where backpropagation
    through time explodes, its norm grows by a constant factor with each step back, and a yardstick that moves along,
    such as the median of the lengths before, would not show it. The loss must be a mean over tokens, not a sum. The
    search ends at the first length that does not fit, is not stable, or makes an epoch a single step.

    It needs a training loader, or a datamodule, with `bptt` (datamodules/text/bptt_loader.py), and precedes a search
    for a learning rate, in whatever order they are listed. It leaves no trace (search/snapshot.py): a training
    whose bptt it does not change is the same, bit for bit, as one without it, and one whose bptt it changes is the same
    as one that was started with it. It is left out when a run resumes, which goes on with the bptt it found.

    ladder: the lengths to try, increasing.  steps: optimizer steps at each, after one to warm up; at the learning rate
    with which the training begins.
    memory_mb: the most a step may take, None for any: of tensors on a GPU, of the whole process on a CPU, the search's
    second copy of the weights included. A length that will surely exceed it is not tried.
    max_growth: of the largest gradient norm over that of the shortest.  min_speed: tokens a second over the fastest's.
    apply: train with it.  stop: end fit after the search.  folder: where bptt_finder.png and bptt_finder.csv go; None
    for nowhere.

    Raises ValueError if not even the shortest will do. Source: fast.ai's lesson 7.
    """

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
        """Raises ValueError if a choice is out of range."""
        if not ladder or ladder[0] < 1 or any(later <= earlier for earlier, later in itertools.pairwise(ladder)):
            raise ValueError(f"bptt_finder.ladder must be positive and increase, got {list(ladder)}")
        if steps < 1 or (memory_mb is not None and memory_mb <= 0):
            raise ValueError(f"bptt_finder needs steps >= 1 and memory_mb > 0 or null, got {steps=}, {memory_mb=}")
        if max_growth < 1 or not 0 <= min_speed <= 1:
            raise ValueError(
                f"bptt_finder needs max_growth >= 1 and min_speed within [0, 1], got {max_growth=}, {min_speed=}"
            )
        self.ladder = list(ladder)
        self.steps = steps
        self.limits = Limits(memory_mb, max_growth, min_speed)
        self.apply = apply
        self.stop = stop
        self.folder = None if folder is None else Path(folder)
        self.search: BPTTSearch | None = None
        self.found: int | None = None
        self.seconds = 0.0

    def find(self, trainer: Any, model: pl.LightningModule, datamodule: Any = None, **loaders: Any) -> BPTTSearch:
        """Search at the start of a training that `trainer.fit` with the same arguments would do, and leave it to come.

        loaders: train_dataloaders, val_dataloaders, instead of a datamodule.  Returns the search, with its `rungs`,
        `suggestion` and `plot()`.
        """
        return search_once(self._search, trainer, model, datamodule=datamodule, **loaders)

    # ---- saved and resumed ----

    def state_dict(self) -> dict[str, Any]:
        return {"found": self.found, "is_applied": self.apply, "seconds": self.seconds}

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Let a resumed training cut its windows, and count its steps, by the bptt found before."""
        if trainer.state.fn != "fit":
            return
        if self.stop:
            raise ValueError("bptt_finder.stop searches before a training: leave out resume and checkpoint")
        saved = checkpoint.get("callbacks", {}).get(self.state_key)
        if saved:
            self.found, self.seconds, self.apply = saved["found"], saved["seconds"], saved["is_applied"]
            if self.found is not None:
                pl_module.hparams["bptt/suggested"] = self.found
                if self.apply:
                    set_bptt(trainer, self.found)

    # ---- within fit ----

    def setup(self, trainer: Any, pl_module: pl.LightningModule, stage: str) -> None:
        if stage != "fit":
            return
        self.found, self.seconds = None, 0.0  # a checkpoint is loaded after this
        # Before all others: a bar, a search for a learning rate, need the number of batches that it sets.
        trainer.callbacks = [self, *(callback for callback in trainer.callbacks if callback is not self)]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.ckpt_path:
            length = "stays" if self.found is None else f"was found before: {self.found}"
            rank_zero_print(f"bptt finder: no search, the run resumes from {trainer.ckpt_path}; its bptt {length}")

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.ckpt_path or trainer.global_step or self.found is not None:
            return
        self.search = self._search(trainer)
        self._show(trainer, self.search)
        self.found = self.search.suggestion
        self.seconds = self.search.seconds
        pl_module.hparams["bptt/suggested"] = self.found
        self._log_found()
        if self.stop:
            raise EndOfFit
        if self.apply:
            set_bptt(trainer, self.found)
            rebuild_schedule(trainer)

    def _show(self, trainer: pl.Trainer, search: BPTTSearch) -> None:
        rank_zero_print(search.table())
        if self.folder is not None and trainer.is_global_zero:
            search.write(self.folder / "bptt_finder.csv")
            publish(search.plot(), self.folder / "bptt_finder.png", trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.found is not None:
            self._log_found()

    def _log_found(self) -> None:
        how: dict[str, Any] = {"on_step": False, "on_epoch": True, "batch_size": 1, "sync_dist": True}
        assert self.found is not None
        self.log("bptt/suggested", float(self.found), **how)  # pyright: ignore[reportAttributeAccessIssue]
        self.log("time/bptt_finder_s", self.seconds, logger=False, **how)  # pyright: ignore[reportAttributeAccessIssue]

    def _search(self, trainer: pl.Trainer) -> BPTTSearch:
        check_bptt(trainer)
        started, device = time.perf_counter(), trainer.strategy.root_device
        search = BPTTSearch([], self.ladder, self.limits)
        with search_bar(trainer, "bptt finder", len(self.ladder) * (WARM_UP + self.steps)) as advance:
            for bptt in self.ladder:
                rung = self._rung(trainer, bptt, search, advance)
                search.rungs.append(rung)
                if search.objection(rung):
                    break
        restart_peak(device)  # what the search took is not what the training takes
        return BPTTSearch(search.rungs, self.ladder, self.limits, time.perf_counter() - started)

    def _rung(self, trainer: pl.Trainer, bptt: int, search: BPTTSearch, advance: Callable[[], None]) -> Rung:
        """Take steps with a bptt, if memory allows, and undo them."""
        gauge, device, failure, epoch = StepGauge(), trainer.strategy.root_device, "", math.nan
        most, expected = self.limits.memory_mb, search.expected_mb(bptt)
        if most is not None and expected > most:
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
        memory, step_s = _over_ranks(trainer, peak_mb(device), "max"), _over_ranks(trainer, gauge.step_s, "max")
        speed = _over_ranks(trainer, gauge.tokens_per_second, "sum")
        return Rung(bptt, epoch, memory, tuple(gauge.losses), tuple(gauge.norms), speed, step_s, failure)

    def _climb(
        self, trainer: pl.Trainer, batches: TrainingBatches, gauge: StepGauge, advance: Callable[[], None]
    ) -> None:
        with closing(training_steps(trainer, batches, callbacks=[gauge])) as steps:
            for _ in range(WARM_UP + self.steps):
                loss = gauge.take(steps)
                advance()
                if not math.isfinite(loss):
                    break


def _begin_epoch(trainer: pl.Trainer, batches: TrainingBatches) -> float:
    """Begin an epoch of other windows and let the trainer know of them, for what asks it; the number of its steps."""
    batches.begin_epoch()
    length = batches.fetcher.length
    # Undone, as all that the loop refers to.
    use_loader(trainer, batches.loader, math.inf if length is None else length)
    return math.inf if length is None else -(-length // trainer.accumulate_grad_batches)


def _over_ranks(trainer: pl.Trainer, value: float, how: str) -> float:
    """One value for all ranks: their `how`, max or sum."""
    tensor = torch.tensor(value, device=trainer.strategy.root_device)
    return float(trainer.strategy.reduce(tensor, reduce_op=how))  # pyright: ignore[reportArgumentType]
