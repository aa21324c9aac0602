"""Undoes training steps without a trace, for finders, which train a little before the training itself."""

import copy
import random
from collections import ChainMap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Trainer
from pytorch_lightning.loggers.logger import DummyLogger
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.overrides import TorchFunctionMode

from src.callbacks.random_state import random_state, set_random_state
from src.core.internals import combined_loader, inner_schedulers, loader_parts, score_keeper
from src.core.sharding import refuse_sharding

GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
# What a data set may refer to without holding data.
NOT_DATA = (Trainer, nn.Module, Tensor, type, ModuleType, FunctionType)
# The attributes of every nn.Module: its parameters, buffers, children and hooks.
STRUCTURE = vars(nn.Module()).keys() - {"training"}

Memo = dict[int, Any]


@contextmanager
def undone(trainer: Trainer) -> Iterator[None]:
    """Undo all training steps taken within the block when it ends, also after an exception.

    These are restored bit for bit: parameters, gradients, buffers and every other attribute of the LightningModule and
    its parts (a hidden state, counters, metrics); optimizers, schedulers and the gradient scaler; the trainer's
    progress and logged metrics; the attributes of datamodule and data sets; all random generators. Callbacks and
    loggers do not see the block. Schedulers do not step, except those that manual optimization steps itself.

    It takes memory for a second copy of all this except the data, and nothing on disk. The block shares what cannot be
    copied (an open file, a lock), and the lists and arrays of datamodule and data sets. Do not iterate the training
    loader itself within the block.

    Raises:
        ValueError: the model is sharded, as under FSDP.
    """
    refuse_sharding(trainer, "a finder's search")
    module, sources = trainer.lightning_module, _sources(trainer)
    objects = [*module.modules(), *trainer.optimizers, *all_schedulers(trainer), *_loops(trainer)]
    objects += [score_keeper(trainer), *filter(None, [getattr(trainer.precision_plugin, "scaler", None)])]
    tensors = [*module.parameters(), *module.buffers()]
    memo = {id(thing): thing for thing in (*objects, *tensors, *sources, *_never_copied(trainer))}
    with ExitStack() as kept:
        kept.enter_context(random_state_kept())
        kept.enter_context(_values(tensors))
        for optimizer in trainer.optimizers:
            kept.enter_context(_optimizer(optimizer, memo))
        for thing in objects:
            kept.enter_context(_attributes(thing, memo))
        copies: Memo = {}  # a generator may be shared
        for source in (*sources, *_holders(sources)):
            kept.enter_context(_generators(source, copies))
        kept.enter_context(_unseen(trainer))
        yield


@contextmanager
def attributes_kept(module: nn.Module) -> Iterator[None]:
    """Restore every attribute of a module and its parts after the block; parameters and buffers stay shared."""
    objects = list(module.modules())
    memo = {id(thing): thing for thing in (*objects, *module.parameters(), *module.buffers())}
    memo |= {id(value): value for value in vars(module).values() if isinstance(value, Trainer)}
    with ExitStack() as kept:
        for thing in objects:
            kept.enter_context(_attributes(thing, memo))
        yield


@contextmanager
def random_state_kept() -> Iterator[None]:
    """Restore the global generators of Python, numpy, torch and CUDA after the block."""
    states = random_state()
    try:
        yield
    finally:
        set_random_state(states)


def all_schedulers(trainer: Trainer) -> list[Any]:
    """All schedulers, including those within a SequentialLR or ChainedScheduler."""
    schedulers: list[Any] = [config.scheduler for config in trainer.lr_scheduler_configs]
    for scheduler in schedulers:  # which grows during the loop
        schedulers += inner_schedulers(scheduler)
    return schedulers


def _loops(trainer: Trainer) -> list[Any]:
    loop = trainer.fit_loop.epoch_loop
    return [trainer.fit_loop, loop, loop.automatic_optimization, loop.manual_optimization, loop.val_loop]


def _sources(trainer: Trainer) -> list[Any]:
    """The datamodule and the data sets of training and validation that are objects with attributes."""
    combined = [combined_loader(loop) for loop in (trainer.fit_loop, trainer.fit_loop.epoch_loop.val_loop)]
    loaders = [loader for each in combined if each is not None for loader in each.flattened]
    found = [getattr(trainer, "datamodule", None), *(getattr(loader, "dataset", None) for loader in loaders)]
    return [source for source in found if hasattr(source, "__dict__")]


def _holders(sources: list[Any]) -> list[Any]:
    """The sources, and objects they refer to (wrapped data sets, transforms), that hold a random generator."""
    known, left = {}, [*sources]
    while left:
        thing = left.pop()
        if id(thing) in known or isinstance(thing, NOT_DATA):
            continue
        known[id(thing)] = thing
        values = (thing if isinstance(thing, dict) else getattr(thing, "__dict__", {})).values()
        left += thing if isinstance(thing, list | tuple) and len(thing) <= 1000 else values  # longer ones hold samples
    objects = [thing for thing in known.values() if hasattr(thing, "__dict__")]
    return [thing for thing in objects if any(isinstance(value, GENERATORS) for value in vars(thing).values())]


def _never_copied(trainer: Any) -> Iterator[Any]:
    yield from (trainer, trainer.strategy, *trainer.callbacks, *trainer.loggers)
    for loop in _loops(trainer):
        yield from loader_parts(loop)


def _copied(value: Any, memo: Memo) -> Any:
    """A deep copy that shares the things in `memo`; the value itself if it cannot be copied."""
    attempt: Any = ChainMap({}, memo)  # a failed copy leaves incomplete objects in its memo
    try:
        with _Detaching():
            copied = copy.deepcopy(value, attempt)
    except Exception:  # any error of somebody's __deepcopy__ or __reduce__
        return value
    memo.setdefault(id(memo), []).extend(attempt.pop(id(attempt), []))  # where deepcopy keeps its originals alive
    memo.update(attempt.maps[0])
    return copied


class _Detaching(TorchFunctionMode):
    """Makes deepcopy, which refuses a tensor with a gradient history, copy it without the history."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.__deepcopy__ and not args[0].is_leaf:
            tensor, memo = args
            return memo.setdefault(id(tensor), tensor.detach().clone())
        return func(*args, **(kwargs or {}))


@contextmanager
def _attributes(thing: Any, memo: Memo) -> Iterator[None]:
    """Give the block copies of an object's attributes; restore the untouched originals after it."""
    originals = dict(vars(thing))
    for name, value in originals.items():
        if isinstance(thing, nn.Module) and name in STRUCTURE:
            vars(thing)[name] = copy.copy(value)
        elif not (isinstance(thing, Optimizer) and name in ("state", "param_groups")):
            vars(thing)[name] = _copied(value, memo)
    try:
        yield
    finally:
        vars(thing).clear()
        vars(thing).update(originals)


@contextmanager
def _generators(source: Any, memo: Memo) -> Iterator[None]:
    """Like `_attributes`, for an object that holds data: copy only its random generators."""
    originals = dict(vars(source))
    copies = {name: copy.deepcopy(value, memo) for name, value in originals.items() if isinstance(value, GENERATORS)}
    vars(source).update(copies)
    try:
        yield
    finally:
        vars(source).clear()
        vars(source).update(originals)


@contextmanager
def _optimizer(optimizer: Optimizer, memo: Memo) -> Iterator[None]:
    """Like `_attributes`, for an optimizer's groups and state, in place: schedulers and Lightning refer to them."""
    state, groups = dict(optimizer.state), [(group, dict(group)) for group in optimizer.param_groups]
    optimizer.state.update({parameter: _copied(values, memo) for parameter, values in state.items()})
    for group, values in groups:
        group.update(_copied(values, memo))
    try:
        yield
    finally:
        optimizer.state.clear()
        optimizer.state.update(state)
        optimizer.param_groups[:] = [group for group, _ in groups]
        for group, values in groups:
            group.clear()
            group.update(values)


@contextmanager
def _values(tensors: list[Tensor]) -> Iterator[None]:
    """Restore values, gradients and requires_grad in place: optimizers hold these tensors."""
    kept = [(tensor, tensor.detach().clone(), tensor.requires_grad, tensor.grad) for tensor in tensors]
    for tensor, _, _, grad in kept:
        tensor.grad = grad.clone() if grad is not None else None
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, value, requires_grad, grad in kept:
                tensor.copy_(value)
                tensor.requires_grad_(requires_grad)
                tensor.grad = grad


@contextmanager
def _unseen(trainer: Any) -> Iterator[None]:
    """Hide all callbacks; replace each logger, which a module may call, by one that does nothing."""
    callbacks, loggers, should_stop = trainer.callbacks, trainer.loggers, trainer.should_stop
    trainer.callbacks, trainer.loggers = [], [DummyLogger() for _ in loggers]
    trainer.fit_loop.epoch_loop.update_lr_schedulers = lambda *args, **kwargs: None
    try:
        yield
    finally:
        trainer.callbacks, trainer.loggers, trainer.should_stop = callbacks, loggers, should_stop
        del trainer.fit_loop.epoch_loop.update_lr_schedulers
