"""Training steps that leave no trace: for finders, which train a little before the training itself goes on."""

import copy
import random
from collections import ChainMap
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers.logger import DummyLogger
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.overrides import TorchFunctionMode

from src.callbacks.random_state import random_state, set_random_state
from src.core.internals import combined_loader, inner_schedulers, loader_parts, score_keeper
from src.core.sharding import refuse_sharding

GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
# What a data set may refer to that is no part of it.
NO_SOURCES = (pl.Trainer, nn.Module, Tensor, type, ModuleType, FunctionType)
# What every nn.Module keeps about itself: its parameters, buffers, children and hooks.
STRUCTURE = vars(nn.Module()).keys() - {"training"}

Memo = dict[int, Any]


@contextmanager
def undone(trainer: pl.Trainer) -> Iterator[None]:
    """Within the block training steps may be taken; after it, even after an exception, they never were.

    Bit for bit as before: parameters, gradients, buffers and every other attribute of the LightningModule and of its
    parts (a hidden state, counters, metrics), optimizers, schedulers, the gradient scaler, the trainer's progress and
    logged metrics, what the datamodule's and the data sets' attributes refer to, all random generators.
    Callbacks and loggers see nothing of the block. Schedulers rest, but for those that a module of manual optimization
    steps itself.

    It costs a second copy of all that in memory, though not of the data, and nothing on disk. What the module refers to
    and cannot be copied (an open file, a lock) is shared with the block, and so are the lists and arrays of datamodule
    and data sets. The training loader itself must not be iterated within the block. Raises ValueError under FSDP.
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
    """After the block every attribute of a module and its parts is as before; parameters and buffers stay shared."""
    objects = list(module.modules())
    memo = {id(thing): thing for thing in (*objects, *module.parameters(), *module.buffers())}
    memo |= {id(value): value for value in vars(module).values() if isinstance(value, pl.Trainer)}
    with ExitStack() as kept:
        for thing in objects:
            kept.enter_context(_attributes(thing, memo))
        yield


@contextmanager
def random_state_kept() -> Iterator[None]:
    """After the block, Python's, numpy's, torch's and CUDA's global generators are as before."""
    states = random_state()
    try:
        yield
    finally:
        set_random_state(states)


def all_schedulers(trainer: pl.Trainer) -> list[Any]:
    """All schedulers, those that others hold (SequentialLR, ChainedScheduler) included."""
    schedulers: list[Any] = [config.scheduler for config in trainer.lr_scheduler_configs]
    for scheduler in schedulers:  # which grows meanwhile
        schedulers += inner_schedulers(scheduler)
    return schedulers


# ---- what is kept ----


def _loops(trainer: pl.Trainer) -> list[Any]:
    loop = trainer.fit_loop.epoch_loop
    return [trainer.fit_loop, loop, loop.automatic_optimization, loop.manual_optimization, loop.val_loop]


def _sources(trainer: pl.Trainer) -> list[Any]:
    """The datamodule and the data sets of training and validation, as far as they are objects with attributes."""
    combined = [combined_loader(loop) for loop in (trainer.fit_loop, trainer.fit_loop.epoch_loop.val_loop)]
    loaders = [loader for each in combined if each is not None for loader in each.flattened]
    found = [getattr(trainer, "datamodule", None), *(getattr(loader, "dataset", None) for loader in loaders)]
    return [source for source in found if hasattr(source, "__dict__")]


def _holders(sources: list[Any]) -> list[Any]:
    """Those among the sources and what they refer to (wrapped data sets, transforms) that hold a random generator."""
    known, left = {}, [*sources]
    while left:
        thing = left.pop()
        if id(thing) in known or isinstance(thing, NO_SOURCES):
            continue
        known[id(thing)] = thing
        values = (thing if isinstance(thing, dict) else getattr(thing, "__dict__", {})).values()
        left += thing if isinstance(thing, list | tuple) and len(thing) <= 1000 else values  # more are samples
    objects = [thing for thing in known.values() if hasattr(thing, "__dict__")]
    return [thing for thing in objects if any(isinstance(value, GENERATORS) for value in vars(thing).values())]


def _never_copied(trainer: Any) -> Iterator[Any]:
    yield from (trainer, trainer.strategy, *trainer.callbacks, *trainer.loggers)
    for loop in _loops(trainer):
        yield from loader_parts(loop)


# ---- how it is kept ----


def _copied(value: Any, memo: Memo) -> Any:
    """A deep copy, but for the things in `memo`; the value itself if it cannot be copied."""
    attempt: Any = ChainMap({}, memo)  # a copy that fails leaves half-made objects in its memo
    try:
        with _Detaching():
            copied = copy.deepcopy(value, attempt)
    except Exception:  # whatever a stranger's __deepcopy__ or __reduce__ raises
        return value
    memo.setdefault(id(memo), []).extend(attempt.pop(id(attempt), []))  # where deepcopy keeps what it met alive
    memo.update(attempt.maps[0])
    return copied


class _Detaching(TorchFunctionMode):
    """Has deepcopy, which refuses a tensor with a history, copy it without the history."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.__deepcopy__ and not args[0].is_leaf:
            tensor, memo = args
            return memo.setdefault(id(tensor), tensor.detach().clone())
        return func(*args, **(kwargs or {}))


@contextmanager
def _attributes(thing: Any, memo: Memo) -> Iterator[None]:
    """The block works on copies of an object's attributes; after it the originals, untouched, are back."""
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
    """As `_attributes` for an object that holds data: of its attributes only random generators are copied."""
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
    """The same for an optimizer's groups and state, in place: schedulers and Lightning's wrapper refer to them."""
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
    """Values, gradients and requires_grad of parameters and buffers: the tensors stay, optimizers hold them."""
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
    """No callback, and a logger that does nothing for each there is, since a module may call it."""
    callbacks, loggers, should_stop = trainer.callbacks, trainer.loggers, trainer.should_stop
    trainer.callbacks, trainer.loggers = [], [DummyLogger() for _ in loggers]
    trainer.fit_loop.epoch_loop.update_lr_schedulers = lambda *args, **kwargs: None  # a module still finds them
    try:
        yield
    finally:
        trainer.callbacks, trainer.loggers, trainer.should_stop = callbacks, loggers, should_stop
        del trainer.fit_loop.epoch_loop.update_lr_schedulers
