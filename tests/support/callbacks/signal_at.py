"""Callbacks that send their own process a signal."""

import os

import pytorch_lightning as pl


class SignalAt(pl.Callback):
    """Sends a signal in a hook, once `step` optimizer steps are taken, to one rank's process."""

    def __init__(self, *, hook, step, signum, times=1, rank=0):
        self.step, self.signum, self.times, self.rank = step, signum, times, rank
        setattr(self, hook, self._send)

    def _send(self, trainer, *args):
        if trainer.global_step == self.step and trainer.global_rank == self.rank:
            times, self.times = self.times, 0
            for _ in range(times):
                os.kill(os.getpid(), self.signum)


class Dying:
    """Sends its own process a signal in its `__del__`, where Python drops every exception."""

    def __init__(self, signum):
        self.signum = signum

    def __del__(self):
        os.kill(os.getpid(), self.signum)
        for _ in range(9):  # the handler runs between two steps of Python
            pass


class SignalNow(pl.Callback):
    """Sends its own process a signal as soon as it is made, before the training; `lost`: within a `__del__`."""

    def __init__(self, *, signum, lost=False):
        if lost:
            Dying(signum)
        else:
            os.kill(os.getpid(), signum)


def signal_at(**choices):
    """Overrides that add a SignalAt."""
    named = {"_target_": "tests.support.callbacks.signal_at.SignalAt", **choices}
    return [f"+callbacks.signal.{key}={value}" for key, value in named.items()]
