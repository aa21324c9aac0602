"""TensorBoard's log of a run; a full disk ends it, and the run only if trainer.on_save_error says so."""

import threading
from typing import Any

from pytorch_lightning import loggers
from pytorch_lightning.utilities import rank_zero_only

from src.core.saving import saving


class TensorBoardLogger(loggers.TensorBoardLogger):
    """Lightning's TensorBoardLogger. A file that could not be written stays closed: TensorBoard does not reopen it.

    Args:
        save_dir: of the run; the log is in its folder `tensorboard`.
    """

    def __init__(self, *, save_dir: str) -> None:
        super().__init__(save_dir, name="tensorboard", version="", default_hp_metric=False)
        threading.excepthook = _without_tensorboard(threading.excepthook)

    @rank_zero_only
    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        with saving(self.log_dir):
            super().log_hyperparams(*args, **kwargs)

    @rank_zero_only
    def log_metrics(self, *args: Any, **kwargs: Any) -> None:
        with saving(self.log_dir):
            try:
                super().log_metrics(*args, **kwargs)
            except ValueError as error:  # Lightning takes every failure for a value of a wrong type
                raise error.__cause__ if isinstance(error.__cause__, OSError) else error from None

    @rank_zero_only
    def save(self) -> None:
        with saving(self.log_dir):
            super().save()

    @rank_zero_only
    def finalize(self, status: str) -> None:
        with saving(self.log_dir):
            super().finalize(status)


def _without_tensorboard(hook: Any) -> Any:
    """A hook for errors of threads, without those of TensorBoard's writer: it raises them again for the logger."""

    def other(args: threading.ExceptHookArgs) -> None:
        if not type(args.thread).__module__.startswith("tensorboard."):
            hook(args)

    return other
