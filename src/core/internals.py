"""All that fastlight uses of Lightning and torch beyond what they publish, each with the reason.

Checked with pytorch-lightning 2.6.6 and torch 2.13; pyproject.toml keeps Lightning below its next minor release.
tests/test_layout.py: no other file uses a private name of theirs. Subclasses may read what their base class keeps.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.data import _set_sampler_epoch
from pytorch_lightning.loops.utilities import _select_data_fetcher
from pytorch_lightning.trainer import call
from pytorch_lightning.trainer.connectors.data_connector import (
    _DataLoaderSource,
    _process_dataloader,
    _request_dataloader,
)
from pytorch_lightning.trainer.states import RunningStage, TrainerFn
from pytorch_lightning.utilities.combined_loader import CombinedLoader
from pytorch_lightning.utilities.exceptions import _TunerExitException
from torch import Tensor
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from torch.utils._pytree import tree_leaves

# Ends fit without an error; every other exception is passed on to whoever called fit.
EndOfFit = _TunerExitException
# The base class of batch and instance norms, whichever dimensions or laziness they have.
NormWithStatistics = _NormBase

# Steps and epochs: where a training stands is known only to these.


def is_accumulating(trainer: pl.Trainer) -> bool:
    """Whether this batch's gradients are only added up, without a step."""
    return trainer.fit_loop._should_accumulate()


def is_last_batch(trainer: pl.Trainer) -> bool:
    """Whether the epoch ends with this batch, also by limit_train_batches."""
    return trainer.fit_loop.epoch_loop._num_ready_batches_reached()


def is_validation_next(trainer: pl.Trainer) -> bool:
    """Whether a validation follows this batch."""
    fetcher = trainer.fit_loop._data_fetcher
    assert fetcher is not None
    return trainer.fit_loop.epoch_loop._should_check_val_fx(fetcher)


def is_row_due(trainer: pl.Trainer) -> bool:
    """Whether loggers get a row of numbers for this step (log_every_n_steps)."""
    return trainer._logger_connector.should_update_logs


def logged_step(trainer: pl.Trainer) -> int:
    """The number under which Lightning logs this step: several optimizers count as one, unlike in global_step."""
    return trainer.fit_loop.epoch_loop._batches_that_stepped


def count_logged_step(trainer: pl.Trainer) -> None:
    """Raise `logged_step` by one, as the end of an epoch does that a resumed training leaves out."""
    trainer.fit_loop.epoch_loop._batches_that_stepped += 1


def resume_by_epochs(trainer: pl.Trainer) -> None:
    """Have the training loop resume in the same way with max_steps as without, where it repeats a finished epoch."""
    trainer.fit_loop._iteration_based_training = bool  # which returns False


# Scores and signals.


def restore_scores(trainer: pl.Trainer, scores: dict[str, Tensor]) -> None:
    """Add to trainer.callback_metrics, which is a copy."""
    trainer._logger_connector._callback_metrics.update(scores)


def forget_epoch_scores(trainer: pl.Trainer) -> None:
    """Clear the sums of the epoch's scores, as the next epoch's start needs."""
    trainer._logger_connector.epoch_end_reached()


def score_keeper(trainer: pl.Trainer) -> object:
    """The object that holds all logged numbers, for a snapshot of them."""
    return trainer._logger_connector


def leave_signals_alone(trainer: pl.Trainer) -> None:
    """Keep Lightning from installing signal handlers; no Trainer argument does."""
    trainer._signal_connector.register_signal_handlers = lambda: None


# Hooks: a step outside of the loop must run what the loop would.


def call_module_hook(trainer: pl.Trainer, name: str) -> None:
    """Call a hook of the LightningModule, if it has it, and profile it."""
    call._call_lightning_module_hook(trainer, name)


def build_model(trainer: pl.Trainer) -> None:
    """Call the module's configure_model as Lightning does, where tensors belong and in the right precision."""
    call._call_configure_model(trainer)


def training_step(trainer: pl.Trainer, batch: Any) -> Any:
    """What the module's training_step returns, under the strategy's wrapper and precision."""
    return call._call_strategy_hook(trainer, "training_step", batch, 0)


def to_device(trainer: pl.Trainer, batch: Any) -> Any:
    """A batch on the device, after the module's hooks before and after the transfer."""
    batch = trainer.precision_plugin.convert_input(batch)
    batch = trainer.lightning_module._on_before_batch_transfer(batch, dataloader_idx=0)
    return call._call_strategy_hook(trainer, "batch_to_device", batch, dataloader_idx=0)


# Loaders: a finder tries other ones, and replaces them before the first batch.


def combined_loader(loop: Any) -> CombinedLoader | None:
    """What a loop's batches come from; None before its setup_data."""
    return loop._combined_loader


def training_loaders(trainer: pl.Trainer) -> list[Any]:
    """The training's loaders, as one list, once fit has begun."""
    loader = combined_loader(trainer.fit_loop)
    assert loader is not None
    return loader.flattened


def use_loader(trainer: pl.Trainer, loader: CombinedLoader, num_batches: float) -> None:
    """Make the training loop count by another loader."""
    trainer.fit_loop._combined_loader = loader
    trainer.fit_loop.max_batches = num_batches


def forget_loader(loop: Any) -> None:
    """Have the loop's next setup_data ask for its loaders anew."""
    loop._combined_loader = None


def count_batches_anew(trainer: pl.Trainer, keep_loaders: bool) -> None:
    """Have the training loop set up its data once more.

    Args:
        trainer: a trainer within fit, before its first batch.
        keep_loaders: use the same loader objects, rather than ask the datamodule for others like them.
    """
    loop = trainer.fit_loop
    source = loop._data_source
    if keep_loaders:
        loop._data_source = _DataLoaderSource(combined_loader(loop), "")
    try:
        assert loop._data_fetcher is not None
        loop._data_fetcher.teardown()
        forget_loader(loop)
        loop.setup_data()
    finally:
        loop._data_source = source


def fresh_loaders(trainer: pl.Trainer) -> list[Any]:
    """Training loaders that the datamodule makes now, prepared as Lightning prepares them."""
    made = CombinedLoader(_request_dataloader(trainer.fit_loop._data_source), "max_size_cycle").flattened
    return [_process_dataloader(trainer, TrainerFn.FITTING, RunningStage.TRAINING, loader) for loader in made]


def loader_parts(loop: Any) -> list[Any]:
    """What a loop keeps about its loaders, none of which can be copied."""
    names = ("_combined_loader", "_data_fetcher", "_data_source")
    return [vars(loop)[name] for name in names if name in vars(loop)]


def batch_fetcher(trainer: pl.Trainer, loader: CombinedLoader) -> Any:
    """What the training loop takes its batches from: an iterator that knows when it is done."""
    fetcher = _select_data_fetcher(trainer, RunningStage.TRAINING)
    fetcher.setup(loader)
    return fetcher


def set_sampler_epoch(loader: Any, epoch: int) -> None:
    """Tell the loader's sampler, if it asks, which epoch begins."""
    _set_sampler_epoch(loader, epoch)


def persistent_iterator(loader: Any) -> Any | None:
    """The iterator that a DataLoader with persistent workers keeps, which cannot be copied; None without."""
    return getattr(loader, "_iterator", None)


# Optimizers and tensors.


def inner_schedulers(scheduler: Any) -> Sequence[Any]:
    """The schedulers that a SequentialLR or ChainedScheduler holds."""
    return getattr(scheduler, "_schedulers", ())


# The attributes of a scheduler that hold learning rates. Nothing but these sets them.
SCHEDULER_RATES = ("base_lrs", "max_lrs", "_last_lr")


def asks_grad_scaler(optimizer: Optimizer) -> bool:
    """Whether the optimizer itself passes over the gradients that fp16's scaler found infinite, as fused ones do."""
    return getattr(optimizer, "_step_supports_amp_scaling", False)


def build_buckets(ddp: DistributedDataParallel) -> None:
    """Have DDP build the final groups of its gradients now, in the order in which it got the parameters.

    With find_unused_parameters it keeps its first groups, and this does nothing.
    """
    ddp.reducer._push_all_rebuilt_params()
    ddp.reducer._rebuild_buckets()


def blend_(tensors: Any, targets: Any, weight: float) -> None:
    """Move each tensor towards its target by a share of the distance, in place and all in one call."""
    torch._foreach_lerp_(tensors, targets, weight)


def leaves(nested: Any) -> list[Any]:
    """What lists, tuples and dicts hold, however deep, in order."""
    return tree_leaves(nested)


# Export. Imported only when needed: older torch has neither.


def lstm_as_loop() -> AbstractContextManager[None]:
    """Within, torch.export turns an LSTM into a loop over any number of steps; else it unrolls the steps it saw."""
    from torch.export._patches import register_lstm_while_loop_decomposition

    return register_lstm_while_loop_decomposition()


def loop_over_time(step: Callable[..., Any], first: Tensor, inputs: Any) -> tuple[Any, Any]:
    """`step(carry, inputs at t)` for each t, as one loop in an exported graph; the last carry and all outputs."""
    from torch._higher_order_ops import scan

    return scan(step, first, inputs)
