"""The base of the finders: a search before the training, undone, reported, and applied or not."""

import copy
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from matplotlib.figure import Figure
from pytorch_lightning import Callback, LightningModule, Trainer
from rich.progress import Progress

from src.callbacks.figure import publish
from src.callbacks.random_state import random_state, set_random_state
from src.core.internals import EndOfFit
from src.core.output import show
from src.core.saving import saving


class Search(Protocol):
    """The result of a search: its lines for the terminal, its figure, and its CSV file."""

    def table(self) -> str: ...

    def plot(self) -> Figure: ...

    def write(self, path: Path) -> None: ...


Found = TypeVar("Found", bound=Search)


class Finder(Callback, Generic[Found]):
    """Searches at the start of a training and reports the result; a resumed run reads it from its checkpoint.

    Attributes:
        search: the latest search; None before it, and in a resumed run.
        seconds: the time that the searches of this run took.
    """

    name: ClassVar[str]  # of its config, its files and its time: lr_finder
    metric: ClassVar[str]  # of the suggestion: lr/suggested

    def __init__(self, *, apply: bool, stop: bool, folder: str | None) -> None:
        self.apply = apply
        self.stop = stop
        self.folder = None if folder is None else Path(folder)
        self.search: Found | None = None
        self.seconds = 0.0

    def find(self, trainer: Any, model: LightningModule, datamodule: Any = None, **loaders: Any) -> Found:
        """Search by hand, without training; a later `trainer.fit` with the same arguments is not affected.

        Instead of a datamodule, train_dataloaders and val_dataloaders may be given.
        """
        return search_once(self._search, trainer, model, datamodule=datamodule, **loaders)

    @property
    def suggestion(self) -> float | None:
        """The latest suggestion of this run; None without."""
        raise NotImplementedError

    def _search(self, trainer: Trainer) -> Found:
        raise NotImplementedError

    def _resume(self, saved: dict[str, Any], trainer: Trainer, model: LightningModule) -> None:
        """Take over what an earlier run's `state_dict` holds."""
        raise NotImplementedError

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Make a resumed training use the earlier result before it builds its schedule."""
        if trainer.state.fn != "fit":
            return
        if self.stop:
            raise ValueError(f"{self.name}.stop searches before a training: leave out resume and checkpoint")
        saved = checkpoint.get("callbacks", {}).get(self.state_key)
        if saved:
            self._resume(saved, trainer, pl_module)
            if self.suggestion is not None:
                pl_module.hparams[self.metric] = self.suggestion

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.suggestion is not None:
            self._log_suggestion()

    def _log_suggestion(self) -> None:
        how: dict[str, Any] = {"on_step": False, "on_epoch": True, "batch_size": 1, "sync_dist": True}
        assert self.suggestion is not None
        self.log(self.metric, float(self.suggestion), **how)  # pyright: ignore[reportAttributeAccessIssue]
        self.log(f"time/{self.name}_s", self.seconds, logger=False, **how)  # pyright: ignore[reportAttributeAccessIssue]

    def _say(self, trainer: Trainer, text: str) -> None:
        if trainer.is_global_zero:
            show(text)

    def _report(self, trainer: Trainer, search: Search, file: str) -> None:
        """Show the table; write `file`.csv and `file`.png."""
        self._say(trainer, search.table())
        if self.folder is not None and trainer.is_global_zero:
            with saving(self.folder / f"{file}.csv"):
                search.write(self.folder / f"{file}.csv")
            publish(search.plot(), self.folder / f"{file}.png", trainer)


@contextmanager
def search_bar(trainer: Trainer, title: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a bar of `total` steps on the first rank's terminal; yields a function that advances it by one."""
    training_bar = getattr(trainer.progress_bar_callback, "progress", None)
    is_shown = isinstance(training_bar, Progress)
    if is_shown:  # paused: its thread asks for the trainer's callbacks, which a search hides
        training_bar.live.transient = True
        training_bar.stop()
    try:
        with Progress(disable=not (trainer.is_global_zero and sys.stdout.isatty()), transient=True) as progress:
            task = progress.add_task(title, total=total)
            yield lambda: progress.advance(task)
    finally:
        if is_shown:
            training_bar.live.transient = False
            training_bar.start()


Result = TypeVar("Result")


def search_once(search: Callable[[Trainer], Result], trainer: Any, model: LightningModule, **data: Any) -> Result:
    """Call `search` right before the first training step, end fit there, and return its result.

    No callback and no logger sees it. Trainer and random state are as before. `data` are the arguments of fit.

    Raises:
        ValueError: this trainer's last epoch is over.
    """
    once = _Once(search)
    kept = trainer.callbacks, trainer.loggers, trainer.num_sanity_val_steps
    progress = copy.deepcopy(trainer.fit_loop.epoch_progress)
    trainer.callbacks, trainer.loggers, trainer.num_sanity_val_steps = [once], [], 0
    once.random_state = random_state()
    try:
        trainer.fit(model, **data)
    finally:
        trainer.callbacks, trainer.loggers, trainer.num_sanity_val_steps = kept
        trainer.fit_loop.epoch_progress = progress
        set_random_state(once.random_state)
    if not once.results:
        raise ValueError("a finder searches before a training step, and this trainer's last epoch is over")
    return once.results[0]


class _Once(Callback):
    """Searches when the first epoch starts, then ends fit.

    random_state is what a later training starts from. It is the state before fit; but if fit builds the net, which
    happens once, it is the state after that.
    """

    def __init__(self, search: Callable[[Trainer], Any]) -> None:
        self.search = search
        self.results: list[Any] = []
        self.random_state: dict[str, Any] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._num_parameters = len(list(pl_module.parameters()))

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if len(list(pl_module.parameters())) > self._num_parameters:
            self.random_state = random_state()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.results = [self.search(trainer)]
        raise EndOfFit
