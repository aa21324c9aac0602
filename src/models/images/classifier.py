"""Trains and scores a net that assigns images to classes."""

import inspect
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MeanMetric, Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassCalibrationError, MulticlassF1Score

from src.models.base import BaseModel
from src.models.layer_groups import layer_groups
from src.training.checkpoint_io import read_checkpoint


class ImageClassifier(BaseModel):
    """Softmax cross-entropy; accuracy, top-5 (with more than 5 classes), macro F1; at test also calibration error.

    The model normalises images, uint8 or float within [0, 1], with the training set's mean and standard deviation,
    which its checkpoint keeps.

    Args:
        flip_tta: At test, also score the mean of the probabilities of each image and its mirror image.
        backbone: Checkpoint of another image classifier to start from; its last layer group is left out.
    """

    statistics = ("mean", "std")  # buffers, saved with the weights
    mean: Tensor
    std: Tensor

    def __init__(self, *, label_smoothing: float, flip_tta: bool, backbone: str | None, **base: Any) -> None:
        super().__init__(**base)
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"model.label_smoothing must be within [0, 1), got {label_smoothing}")
        self.label_smoothing = label_smoothing
        self.flip_tta = flip_tta
        self.backbone = backbone

    def build(self, spec: dict[str, Any]) -> None:
        sizes = {name: spec[name] for name in ("in_chans", "num_classes")}
        if "image_size" in inspect.signature(self.make_net).parameters:
            sizes["image_size"] = spec["image_size"]
        # Channels last in memory: 3 times faster convolutions on a CPU, and the order for tensor cores.
        self.net = self.make_net_for(sizes)
        self.net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.register_buffer("mean", torch.tensor(spec["mean"]).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(spec["std"]).view(1, -1, 1, 1))
        self.val_scores = _scores(spec["num_classes"]).clone(prefix="val/")
        self.test_scores = _scores(spec["num_classes"], calibration=True).clone(prefix="test/")
        if self.flip_tta:
            self.tta_accuracy = MulticlassAccuracy(spec["num_classes"], average="micro")

    def configure_optimizers(self) -> Any:
        # Here, because only now a training begins and it is known whether a checkpoint brings all weights.
        path, self.backbone = self.backbone, None
        if path is not None and not self.trainer.ckpt_path:
            self.load_backbone(path)
        return super().configure_optimizers()

    def load_backbone(self, path: str) -> None:
        """Copy all weights except the last layer group's from another classifier's checkpoint.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is not an intact checkpoint, or lacks a weight of that name and shape.
        """
        assert self.net is not None
        if not Path(path).is_file():
            raise FileNotFoundError(f"model.backbone {path} does not exist")
        checkpoint = read_checkpoint(path)
        saved = checkpoint.get("state_dict") if isinstance(checkpoint, dict) else None
        if not isinstance(saved, dict):
            raise ValueError(f"backbone {path} is not a fastlight checkpoint: it lacks state_dict")
        head = {id(p) for module in layer_groups(self.net)[-1] for p in module.state_dict(keep_vars=True).values()}
        own = {name: value for name, value in self.net.state_dict(keep_vars=True).items() if id(value) not in head}
        wrong = [n for n, value in own.items() if f"net.{n}" not in saved or saved[f"net.{n}"].shape != value.shape]
        if wrong:
            raise ValueError(f"backbone {path} is of another net: {len(wrong)} weights differ, such as {wrong[0]}")
        with torch.no_grad():
            for name, value in own.items():
                value.copy_(saved[f"net.{name}"])

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, (batch, classes), of images, (batch, channels, height, width), uint8 or float in [0, 1]."""
        assert self.net is not None
        scale = 255.0 if images.dtype == torch.uint8 else 1.0
        # One pass over the pixels: (x / scale - mean) / std
        normalised = (images - self.mean * scale) / (self.std * scale)
        return self.net(normalised.contiguous(memory_format=torch.channels_last))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, targets = batch
        loss = F.cross_entropy(self(images).float(), targets, label_smoothing=self.label_smoothing)
        self.log_loss(loss, len(images))
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._score(self.val_scores, *batch)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        images, labels = batch
        logits = self._score(self.test_scores, images, labels)
        if self.flip_tta:
            probabilities = (logits.softmax(1) + self(images.flip(3)).float().softmax(1)) / 2
            self.tta_accuracy(probabilities, labels)
            self.log("test/accuracy_flip_tta", self.tta_accuracy, on_epoch=True)

    def _score(self, scores: MetricCollection, images: Tensor, labels: Tensor) -> Tensor:
        logits = self(images).float()
        scores["loss"].update(F.cross_entropy(logits, labels, reduction="none"))
        for name, metric in scores.items(keep_base=True):
            if name != "loss":
                metric.update(logits, labels)
        return logits

    def on_validation_epoch_end(self) -> None:
        self._log_scores(self.val_scores)

    def on_test_epoch_end(self) -> None:
        self._log_scores(self.test_scores)

    def _log_scores(self, scores: MetricCollection) -> None:
        # The values are already those of all ranks; sync_dist only tells Lightning.
        self.log_dict(scores.compute(), prog_bar=True, sync_dist=True)
        scores.reset()


class _CalibrationError(MulticlassCalibrationError):
    """The calibration error of logits. torchmetrics' own takes logits within [0, 1] for probabilities."""

    def update(self, preds: Tensor, target: Tensor) -> None:
        super().update(preds.softmax(1), target)


def _scores(num_classes: int, calibration: bool = False) -> MetricCollection:
    """Return metrics that are exact for batches of any size and for any number of ranks."""
    scores: dict[str, Metric | MetricCollection] = {
        "loss": MeanMetric(nan_strategy="disable"),  # a NaN loss must be seen
        "accuracy": MulticlassAccuracy(num_classes, average="micro"),
        "macro_f1": MulticlassF1Score(num_classes, average="macro"),
    }
    if num_classes > 5:
        scores["top5_accuracy"] = MulticlassAccuracy(num_classes, average="micro", top_k=5)
    if calibration:
        scores["calibration_error"] = _CalibrationError(num_classes)
    return MetricCollection(scores, compute_groups=False)
