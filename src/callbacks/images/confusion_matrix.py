"""Draws which classes the tested model confuses."""

from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor
from torch.utils.hooks import RemovableHandle
from torchmetrics.classification import MulticlassConfusionMatrix

from src.callbacks.figure import publish
from src.core.output import note
from src.report.confusion import draw_confusion


class ConfusionMatrix(Callback):
    """Writes the test set's confusion matrix: a row for each true class, a column for each predicted class.

    Batches are (images, labels (batch,)). The first forward pass on each returns logits (batch, classes). Class names
    come from the datamodule's `spec`. For several labels an image, or numbers, it says that there is no matrix.
    """

    def __init__(self, *, path: str) -> None:
        self.path = Path(path)
        self._hook: RemovableHandle | None = None
        self._logits: Tensor | None = None

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        spec = trainer.datamodule.spec  # pyright: ignore[reportAttributeAccessIssue]
        if "task" in spec:
            rank_zero_only(note)(
                f"{self.path.name} is left out: task={spec['task']} has no single class for each image"
            )
            return
        self.names = spec["class_names"]
        self.matrix = MulticlassConfusionMatrix(len(self.names)).to(pl_module.device)
        # A hook needs no second pass over the test set and nothing from the model's test_step.
        self._hook = pl_module.register_forward_hook(self._listen)

    def _listen(self, module: Any, inputs: Any, output: Any) -> None:
        # A second pass of the same batch has the mirrored images (flip_tta).
        if self._logits is None and isinstance(output, Tensor):
            self._logits = output

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if self._hook is None:
            return
        assert self._logits is not None
        self.matrix.update(self._logits, batch[1])
        self._logits = None

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._hook is None:
            return
        counts = self.matrix.compute().cpu().numpy()  # on every rank: it sums over them
        if trainer.is_global_zero:
            publish(draw_confusion(counts, self.names), self.path, trainer)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self._hook is not None:
            self._hook.remove()
            self._hook = None
