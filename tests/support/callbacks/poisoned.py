"""A callback that makes losses of a training NaN or infinite."""

import pytorch_lightning as pl


class Poisoned(pl.Callback):
    """Multiplies the output of the net for some batches, counted from 0 over all epochs, by `factor`, on one rank."""

    def __init__(self, *, batches, factor, rank=0):
        self.batches, self.factor, self.rank = batches, float(factor), rank

    def on_fit_start(self, trainer, pl_module):
        def poison(net, arguments, output):
            loop = trainer.fit_loop.epoch_loop
            is_meant = net.training and loop.total_batch_idx in self.batches and trainer.global_rank == self.rank
            return _times(output, self.factor) if is_meant else output

        pl_module.net.register_forward_hook(poison)


def _times(output, factor):
    """Tensors, and tuples of them, multiplied."""
    if isinstance(output, tuple):
        parts = [_times(part, factor) for part in output]
        return type(output)(*parts) if hasattr(output, "_fields") else tuple(parts)
    return output * factor
