"""Lightning's own training steps, one at a time, for finders to take within `snapshot.undone`."""

import copy
from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.optim import Optimizer

from src.callbacks.search.snapshot import Memo, random_state_kept
from src.core.internals import (
    batch_fetcher,
    call_module_hook,
    combined_loader,
    forget_epoch_scores,
    is_last_batch,
    leaves,
    persistent_iterator,
    set_sampler_epoch,
)

PATIENCE = 10  # steps in a row without a loss: training_step may leave out a batch by returning None


def copied_loader(loader: Any) -> Any:
    """A loader that yields what `loader` is about to yield, without moving it; both share the data.

    Its sampler, its generators and its worker processes are its own. Raises TypeError if the loader is one that cannot
    be copied, such as a Python generator.
    """
    attributes = getattr(loader, "__dict__", {})
    memo: Memo = {id(leaf): leaf for leaf in leaves([loader, attributes]) if isinstance(leaf, Tensor | np.ndarray)}
    if "dataset" in attributes:
        memo[id(attributes["dataset"])] = attributes["dataset"]
    if (iterator := persistent_iterator(loader)) is not None:
        memo[id(iterator)] = None
    try:
        return copy.deepcopy(loader, memo)
    except Exception as error:
        raise TypeError(
            f"the training loader, a {type(loader).__name__}, cannot be copied, so a search would use up its batches; "
            "give a DataLoader or an object with plain attributes"
        ) from error


class TrainingBatches:
    """The training's batches in the training's order, over and over, without moving its loader.

    loaders: what to take in place of copies of the training's own, each in the place of one, to its last batch.
    """

    def __init__(self, trainer: pl.Trainer, loaders: list[Any] | None = None) -> None:
        loader = copy.copy(combined_loader(trainer.fit_loop))
        assert loader is not None
        if loaders is not None:
            loader.limits = None
        loader.flattened = [copied_loader(part) for part in loader.flattened] if loaders is None else loaders
        self.loader = loader
        self.fetcher = batch_fetcher(trainer, loader)
        self._epoch = trainer.current_epoch
        self._is_begun = False

    def begin_epoch(self) -> None:
        """Begin anew if all batches have been seen, else go on."""
        if self._is_begun and not self.fetcher.done:
            return
        for part in self.loader.flattened:
            set_sampler_epoch(part, self._epoch)
        iter(self.fetcher)
        self._is_begun = True
        self._epoch += 1

    def close(self) -> None:
        """End worker processes."""
        self.fetcher.teardown()


def training_steps(
    trainer: pl.Trainer,
    batches: TrainingBatches,
    before_step: Callable[[Optimizer], None] = lambda optimizer: None,
    callbacks: Sequence[pl.Callback] = (),
) -> Generator[float, None, None]:
    """Take one optimizer step at each `next`, as the training would, and yield its loss.

    Accumulation, clipping, precision, closures, several optimizers and manual optimization are Lightning's: its own
    loop runs. `before_step` is called with each optimizer before its batch, and again right before it steps; of
    `callbacks` the hooks around batches and steps are called. The loss is that before the step, the mean over the
    step's batches and over all ranks; with manual optimization it is what training_step returns, else the sum of what
    it sends backward.

    Raises ValueError if an epoch makes no step, or if ten steps in a row tell no loss.
    """
    loop, watch = trainer.fit_loop.epoch_loop, _Watch(before_step)
    trainer.callbacks = [watch, *callbacks]  # pyright: ignore[reportAttributeAccessIssue]
    loop.restarting = False
    silent = 0
    while True:
        loop.reset()
        batches.begin_epoch()
        call_module_hook(trainer, "on_train_epoch_start")
        start = trainer.global_step
        while not is_last_batch(trainer):
            step = trainer.global_step
            try:
                loop.advance(batches.fetcher)
            except StopIteration:  # the module skips the rest of the epoch, or a loader without a length ends
                batches.fetcher.done = True
                break
            if trainer.global_step == step:
                continue
            silent = 0 if watch.is_told else silent + 1
            if silent == PATIENCE:
                raise ValueError("lr_finder needs the loss: let training_step return it")
            if watch.is_told:
                yield watch.loss(trainer)
        if trainer.global_step == start:
            raise ValueError("an epoch makes no optimizer step, so nothing can be searched: check the training loader")
        forget_epoch_scores(trainer)


def rebuild_optimizers(trainer: pl.Trainer) -> bool:
    """Call configure_optimizers again before the first step, as what it depends on has changed.

    Returns:
        Whether the new optimizers are used. If they hold other parameters than the old ones, because some were frozen
        or added meanwhile, the old ones stay.
    """
    strategy: Any = trainer.strategy
    built = strategy.optimizers, strategy.lr_scheduler_configs
    with random_state_kept():
        strategy.setup_optimizers(trainer)
    is_taken = _parameter_ids(strategy.optimizers) == _parameter_ids(built[0])
    if not is_taken:
        strategy.optimizers, strategy.lr_scheduler_configs = built
    return is_taken


def _parameter_ids(optimizers: list[Optimizer]) -> list[list[list[int]]]:
    return [[list(map(id, group["params"])) for group in optimizer.param_groups] for optimizer in optimizers]


def mean_over_ranks(trainer: pl.Trainer, loss: Tensor) -> float:
    """A loss, averaged over all ranks."""
    return float(trainer.strategy.reduce(loss.detach().float(), reduce_op="mean"))


class _Watch(pl.Callback):
    """The one callback of the search: keeps the losses of a step's batches, lets the lr be set before each step."""

    def __init__(self, before_step: Callable[[Optimizer], None]) -> None:
        self.before_step = before_step
        self._losses: list[Tensor] = []
        self._sent_backward: list[Tensor] = []

    @property
    def is_told(self) -> bool:
        """Whether there was a loss since the last call of `loss`."""
        return bool(self._losses)

    def loss(self, trainer: pl.Trainer) -> float:
        """The mean over the batches since the last call, and over all ranks."""
        losses, self._losses = torch.stack(self._losses), []
        return mean_over_ranks(trainer, losses.mean())

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._sent_backward = []
        for optimizer in trainer.optimizers:
            self.before_step(optimizer)

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        self._sent_backward.append(loss.detach() / (scaler.get_scale() if scaler is not None else 1.0))

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        self.before_step(optimizer)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if pl_module.automatic_optimization:
            if outputs:  # nothing if training_step returned None; a share of the mean if batches accumulate
                self._losses.append(outputs["loss"].detach().float() * trainer.accumulate_grad_batches)
        elif outputs and "loss" in outputs:
            self._losses.append(outputs["loss"].detach().float())
        elif self._sent_backward:
            self._losses.append(torch.stack(self._sent_backward).sum().float())
