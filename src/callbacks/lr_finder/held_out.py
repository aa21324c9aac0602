"""The loss of one fixed validation batch, for a search that should not look at training batches."""

from typing import Any

import torch
from pytorch_lightning import Trainer
from torch import Tensor

from src.callbacks.search.snapshot import attributes_kept
from src.callbacks.search.training_steps import copied_loader, mean_over_ranks
from src.core.internals import NormWithStatistics, combined_loader, to_device, training_step


def held_out_batch(trainer: Trainer) -> Any:
    """The first batch of the validation loader, on the device, as validation would get it.

    Raises:
        ValueError: the training has no validation loader.
    """
    validation = trainer.fit_loop.epoch_loop.val_loop
    if not trainer.enable_validation:
        raise ValueError("lr_finder.on=valid needs a validation loader, and this training has none; choose on=train")
    trainer.validating = True  # augmentation asks for it
    try:
        validation.setup_data()
        loaders = combined_loader(validation)
        assert loaders is not None
        return to_device(trainer, next(iter(copied_loader(loaders.flattened[0]))))
    finally:
        trainer.training = True


def held_out_loss(trainer: Trainer, batch: Any) -> float:
    """The loss that training_step returns for a batch in evaluation mode; the module stays as it is.

    Batch norm uses the batch's own statistics: running ones lag far behind weights that move this fast. With them a
    suggestion of 0.1 on digits becomes 0.003. The mean over all ranks.
    """
    module = trainer.lightning_module
    with attributes_kept(module), torch.no_grad():
        module.eval()
        for norm in (part for part in module.modules() if isinstance(part, NormWithStatistics)):
            norm.training, norm.track_running_stats = True, False
        outputs = training_step(trainer, batch)
    return mean_over_ranks(trainer, outputs if isinstance(outputs, Tensor) else outputs["loss"])
