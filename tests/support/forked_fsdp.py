"""FSDP with forked processes, which need not import torch again."""

from pytorch_lightning.strategies.launchers.multiprocessing import _MultiProcessingLauncher

from src.training.fsdp import FSDP


class ForkedFSDP(FSDP):
    """Like strategy=ddp_fork for DDP."""

    def _configure_launcher(self):
        self._launcher = _MultiProcessingLauncher(self, start_method="fork")
