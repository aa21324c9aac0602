"""Takes Lightning's own training steps one at a time, for finders, within `snapshot.undone`."""

import copy
from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
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

MAX_SILENT_STEPS = 10  # steps in a row without a loss: training_step may return None to skip a batch


def copied_loader(loader: Any) -> Any:
    """A copy that yields what `loader` would yield next; `loader` does not advance.

    Both share the data; the copy has its own sampler, generators and worker processes.

    Raises:
        TypeError: the loader cannot be copied, such as a Python generator.
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
    """The training's batches in the training's order, repeated without end; its loader does not advance.

    `loaders`, one for each of the training's, are used instead of copies of them, without a limit of batches.
    """

    def __init__(self, trainer: Trainer, loaders: list[Any] | None = None) -> None:
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
        """Start again if all batches were used, else continue."""
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
    trainer: Trainer,
    batches: TrainingBatches,
    before_step: Callable[[Optimizer], None] = lambda optimizer: None,
    callbacks: Sequence[Callback] = (),
) -> Generator[float, None, None]:
    """Take one optimizer step at each `next`, as the training would, and yield its loss.

    Lightning's own loop runs, with accumulation, clipping, precision, closures, several optimizers and manual
    optimization. The loss is from before the step: the mean over its batches and over all ranks. With manual
    optimization it is what training_step returns, or the sum of all losses sent backward.

    Args:
        trainer: the trainer.
        batches: where the batches come from.
        before_step: called with each optimizer before its batch, and again right before it steps.
        callbacks: their hooks around batches and steps are called.

    Raises:
        ValueError: an epoch makes no step, or ten steps in a row give no loss.
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
            except StopIteration:  # the module skips the rest of the epoch, or a loader without length ends
                batches.fetcher.done = True
                break
            if trainer.global_step == step:
                continue
            silent = 0 if watch.has_loss else silent + 1
            if silent == MAX_SILENT_STEPS:
                raise ValueError("lr_finder needs the loss: let training_step return it")
            if watch.has_loss:
                yield watch.loss(trainer)
        if trainer.global_step == start:
            raise ValueError("an epoch makes no optimizer step, and nothing can be searched: check the training loader")
        forget_epoch_scores(trainer)


def rebuild_optimizers(trainer: Trainer) -> bool:
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


def mean_over_ranks(trainer: Trainer, loss: Tensor) -> float:
    """A loss, averaged over all ranks."""
    return float(trainer.strategy.reduce(loss.detach().float(), reduce_op="mean"))


class _Watch(Callback):
    """Keeps the losses of a step's batches and calls `before_step`."""

    def __init__(self, before_step: Callable[[Optimizer], None]) -> None:
        self.before_step = before_step
        self._losses: list[Tensor] = []
        self._sent_backward: list[Tensor] = []

    @property
    def has_loss(self) -> bool:
        """Whether there was a loss since the last call of `loss`."""
        return bool(self._losses)

    def loss(self, trainer: Trainer) -> float:
        """The mean over the batches since the last call, and over all ranks."""
        losses, self._losses = torch.stack(self._losses), []
        return mean_over_ranks(trainer, losses.mean())

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self._sent_backward = []
        for optimizer in trainer.optimizers:
            self.before_step(optimizer)

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        self._sent_backward.append(loss.detach() / (scaler.get_scale() if scaler is not None else 1.0))

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        self.before_step(optimizer)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if pl_module.automatic_optimization:
            if outputs:  # empty if training_step returned None; divided if batches accumulate
                self._losses.append(outputs["loss"].detach().float() * trainer.accumulate_grad_batches)
        elif outputs and "loss" in outputs:
            self._losses.append(outputs["loss"].detach().float())
        elif self._sent_backward:
            self._losses.append(torch.stack(self._sent_backward).sum().float())
