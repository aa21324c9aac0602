"""Draws which classes the tested model takes for which."""

from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from matplotlib.figure import Figure
from torch import Tensor
from torch.utils.hooks import RemovableHandle
from torchmetrics.classification import MulticlassConfusionMatrix

from src.callbacks.figure import new_figure, publish


class ConfusionMatrix(pl.Callback):
    """Writes the test set's confusion matrix: a row for each true class, a column for each predicted one.

    Batches are (images, labels (batch,)), and the model's first forward pass on each returns logits (batch, classes).
    Class names come from the datamodule's `spec`.
    """

    def __init__(self, *, path: str) -> None:
        self.path = Path(path)
        self._hook: RemovableHandle | None = None
        self._logits: Tensor | None = None

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.names = trainer.datamodule.spec["class_names"]  # pyright: ignore[reportAttributeAccessIssue]
        self.matrix = MulticlassConfusionMatrix(len(self.names)).to(pl_module.device)
        # Listening costs no second pass over the test set, and asks nothing of the model's test_step.
        self._hook = pl_module.register_forward_hook(self._listen)

    def _listen(self, module: Any, inputs: Any, output: Any) -> None:
        # A second pass of the same batch is of the mirrored pictures (flip_tta).
        if self._logits is None and isinstance(output, Tensor):
            self._logits = output

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        assert self._logits is not None
        self.matrix.update(self._logits, batch[1])
        self._logits = None

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        counts = self.matrix.compute().cpu().numpy()  # on every rank: it adds up over them
        if trainer.is_global_zero:
            publish(draw(counts, self.names), self.path, trainer)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if self._hook is not None:
            self._hook.remove()
            self._hook = None


def draw(counts: np.ndarray, names: list[str]) -> Figure:
    """A figure of a matrix of counts (true class, predicted class); cells hold their counts up to 30 classes.

    The shade is the share of the true class, on one blue scale, light to dark: to be told apart by any eye, and in
    grey. Its root is drawn, so that a few mistakes in a hundred are visible.
    """
    size = len(names)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = min(16.0, 2.2 + 0.42 * size)
    figure = new_figure(side, side)
    figure.set_layout_engine("constrained")
    axes = figure.add_subplot()
    axes.imshow(np.sqrt(share), cmap="Blues", vmin=0, vmax=1.15, interpolation="nearest")
    step = -(-size // 50)  # the names of 50 classes at most fit
    shown = range(0, size, step)
    axes.set_xticks(shown, [names[i] for i in shown], rotation=90 if max(map(len, names)) > 3 else 0)
    axes.set_yticks(shown, [names[i] for i in shown])
    axes.tick_params(length=0, labelsize=8)
    axes.set(xlabel="predicted", ylabel="true", title=f"{int(np.trace(counts))} of {int(counts.sum())} right")
    for row, column in zip(*np.nonzero(counts), strict=True) if size <= 30 else ():
        color = "white" if share[row, column] > 0.4 else "black"
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=8, color=color)
    return figure
