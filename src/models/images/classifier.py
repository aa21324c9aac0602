"""Trains and scores a net that answers for images: a class, several labels, or numbers."""

import inspect
from pathlib import Path
from typing import Any, Literal

import torch
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from src.core.output import note
from src.models.base import BaseModel
from src.models.class_weights import ClassWeights, check_class_weights, class_weights_of
from src.models.images.head_fit import best_penalty, features_of, fit_linear, linear_head
from src.models.images.tasks import LOSSES, TASKS, Scores
from src.models.images.views import views
from src.models.layer_groups import load_body
from src.training.checkpoint_io import read_checkpoint


class ImageClassifier(BaseModel):
    """Assigns images to classes or, as the data's `task` says, gives them several labels or numbers.

    Losses and scores are those of Classification, Multilabel or Regression in src/models/images/tasks.py. The model
    normalises images, uint8 or float within [0, 1], with the training set's mean and standard deviation, or with those
    that a net names in `normalisation`: {"mean": [...], "std": [...]}, one number a channel on the scale [0, 1], as a
    pretrained net does. Its checkpoint keeps them.

    Args:
        label_smoothing: Share of each label that is spread over all classes, or half of it over present and absent.
        class_weights: One per class, or "balanced", see `class_weights_of`; for task=classification only. Each device
            takes the weighted mean of its own images; validation and test weigh all alike.
        regression_loss: "mse" or "l1", of the scaled targets; for task=regression only.
        flip_tta: At test, also score the mean of the answers for each image and its mirror image.
        crop_tta: At test, also score the mean over each image and it shifted by so many pixels, see `views`; 0: not.
        backbone: Checkpoint of another image classifier to start from; its last layer group is left out.
        fit_head: Whether a training that begins first fits its linear head to the features of the training images,
            without augmentation, as logistic or ridge regression does.
    """

    # The first two are buffers, saved with the weights; a validation chooses the last.
    statistics = ("mean", "std", "target_mean", "target_std", "thresholds", "class_counts")
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        *,
        label_smoothing: float,
        class_weights: ClassWeights,
        regression_loss: Literal["mse", "l1"],
        flip_tta: bool,
        crop_tta: int,
        backbone: str | None,
        fit_head: bool,
        **base: Any,
    ) -> None:
        super().__init__(**base)
        if regression_loss not in LOSSES:
            raise ValueError(f"model.regression_loss must be mse or l1, got {regression_loss}")
        if crop_tta < 0:
            raise ValueError(f"model.crop_tta must not be negative, got {crop_tta}")
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"model.label_smoothing must be within [0, 1), got {label_smoothing}")
        check_class_weights(class_weights)
        self.class_weights: ClassWeights = class_weights
        self.label_smoothing = label_smoothing
        self.regression_loss = regression_loss
        self.flip_tta = flip_tta
        self.crop_tta = crop_tta
        self.backbone = backbone
        self.fit_head = fit_head

    def build(self, spec: dict[str, Any]) -> None:
        sizes = {name: spec[name] for name in ("in_chans", "num_classes")}
        if "image_size" in inspect.signature(self.make_net).parameters:
            sizes["image_size"] = spec["image_size"]
        # Channels last in memory: 3 times faster convolutions on a CPU, and the order for tensor cores.
        self.net = self.make_net_for(sizes)
        self.net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        scale = getattr(self.net, "normalisation", None) or spec
        self.register_buffer("mean", torch.tensor(scale["mean"]).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(scale["std"]).view(1, -1, 1, 1))
        task = TASKS[spec.get("task", "classification")]  # older checkpoints name none
        self.task = task(
            spec,
            label_smoothing=self.label_smoothing,
            regression_loss=self.regression_loss,
            class_weights=class_weights_of(self.class_weights, spec),
        )
        self.val_scores, self.test_scores = self.task.scores("val"), self.task.scores("test")
        self.tta_scores = self.task.tta_scores() if self.flip_tta or self.crop_tta else None

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        if self.net is not None:
            self.task.spec = self.hparams["spec"]

    def load_start(self) -> None:
        if self.label_smoothing and self.hparams["spec"].get("task") == "regression":
            rank_zero_only(note)(f"model.label_smoothing={self.label_smoothing} is left out: numbers are not smoothed")
        if self.backbone is None:
            super().load_start()
        else:
            self.load_backbone(self.backbone)
        if self.fit_head:
            self._fit_head()

    def _fit_head(self) -> None:
        """Fit the head to the features of the training images as they are, by a net at rest."""
        assert self.net is not None
        if self.trainer.world_size > 1:
            raise ValueError("model.fit_head sees all training images: set it to false with several devices")
        data: Any = self.trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
        head = linear_head(self.net)
        self.eval()
        self.trainer.validating = True  # the data are then neither cropped nor augmented
        try:
            batches = (self.trainer.strategy.batch_to_device(batch) for batch in data.train_dataloader())
            with self.trainer.precision_plugin.forward_context():
                features, labels = features_of(self, head, batches)
        finally:
            self.trainer.training = True
            self.train()
        penalty = best_penalty(head, features, labels, self.task.loss)
        fit_linear(head, features, labels, self.task.loss, penalty)
        note(f"the head is fitted to the features of {len(features):,} images, with a penalty of {penalty:g}")

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
        weights = {name.removeprefix("net."): value for name, value in saved.items() if name.startswith("net.")}
        load_body(self.net, weights, f"backbone {path}")

    def forward(self, images: Tensor) -> Tensor:
        """Return the net's outputs: logits, or scaled values.

        Args:
            images: (batch, channels, height, width), uint8 or float within [0, 1].

        Returns:
            (batch, classes or targets).
        """
        assert self.net is not None
        scale = 255.0 if images.dtype == torch.uint8 else 1.0
        # One pass over the pixels: (x / scale - mean) / std
        normalised = (images - self.mean * scale) / (self.std * scale)
        return self.net(normalised.contiguous(memory_format=torch.channels_last))

    def predict(self, images: Tensor, flip_tta: bool = False, crop_tta: int = 0) -> Tensor:
        """Return probabilities of classes or labels, or values in their own units: float32 (batch, classes or targets).

        Args:
            images: as in `forward`.
            flip_tta: Whether to answer with the mean over each image and its mirror image.
            crop_tta: Pixels by which further views of that mean are shifted, see `views`.
        """
        answers = [weight * self.task.answers(self(view).float()) for weight, view in views(images, flip_tta, crop_tta)]
        return torch.stack(answers).sum(0)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        loss = self.task.loss(self(images).float(), labels)
        self.log_loss(loss, len(images))
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        images, labels = batch
        self.val_scores.update(self(images).float(), labels)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        images, labels = batch
        (weight, _), *others = views(images, self.flip_tta, self.crop_tta)
        outputs = self(images).float()
        self.test_scores.update(outputs, labels)
        if self.tta_scores is not None:
            answers = [weight * self.task.answers(outputs)]
            answers += [weight * self.task.answers(self(view).float()) for weight, view in others]
            self.tta_scores.update(torch.stack(answers).sum(0), labels)

    def on_validation_epoch_end(self) -> None:
        scores = self._computed(self.val_scores)
        thresholds = scores.pop("thresholds", None)
        if thresholds is not None and self.trainer.state.fn == "fit":
            # A new dict: the datamodule holds the old one.
            self.task.spec = self.hparams["spec"] = {**self.hparams["spec"], "thresholds": thresholds.tolist()}
        self._log_scores("val", scores)

    def on_test_epoch_end(self) -> None:
        scores = self._computed(self.test_scores)
        if self.tta_scores is not None:
            kind = "crop" if self.crop_tta else "flip"
            scores |= {f"{name}_{kind}_tta": score for name, score in self._computed(self.tta_scores).items()}
        self._log_scores("test", scores)

    def _computed(self, scores: Scores) -> dict[str, Tensor]:
        found = scores.compute()
        scores.reset()
        return found

    def _log_scores(self, stage: str, scores: dict[str, Tensor]) -> None:
        # The values are already those of all ranks; sync_dist only tells Lightning.
        self.log_dict({f"{stage}/{name}": score for name, score in scores.items()}, prog_bar=True, sync_dist=True)
