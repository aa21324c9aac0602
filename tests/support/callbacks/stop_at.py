"""A callback that stops a training at a chosen step."""

import pytorch_lightning as pl


class Stopped(Exception):
    """As if the machine had failed."""


class StopAt(pl.Callback):
    """Raises Stopped before the batch that follows optimizer step `step`; saves to `path` right after that step."""

    def __init__(self, *, step, path=None):
        self.step = step
        self.path = path

    def on_train_batch_end(self, trainer, *args):
        if trainer.global_step == self.step and self.path is not None:
            trainer.save_checkpoint(self.path)
            self.path = None

    def on_train_batch_start(self, trainer, *args):
        if trainer.global_step == self.step:
            raise Stopped
