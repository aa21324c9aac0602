"""FSDP whose processes are forked: a test need not wait for each to import torch."""

from pytorch_lightning.strategies.launchers.multiprocessing import _MultiProcessingLauncher

from src.training.fsdp import FSDP


class ForkedFSDP(FSDP):
    """As DDP's strategy=ddp_fork."""

    def _configure_launcher(self):
        self._launcher = _MultiProcessingLauncher(self, start_method="fork")
