"""What an image model's outputs mean: one class, several labels, or numbers; their losses, answers and scores."""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MeanMetric, Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassCalibrationError, MulticlassF1Score

from src.models.images.label_scores import choose_thresholds, label_scores
from src.models.row_scores import RowScores, regression_scores

Scores = Metric | MetricCollection  # update(outputs or answers, labels), compute() -> named scores
LOSSES = {"mse": F.mse_loss, "l1": F.l1_loss}


class ImageTask:
    """Base of the tasks. Outputs of the net are (batch, classes or targets).

    Attributes:
        spec: what the data, and for several labels the validation, tell.
    """

    def __init__(
        self,
        spec: dict[str, Any],
        *,
        label_smoothing: float,
        regression_loss: str,
        class_weights: Tensor | None = None,
    ) -> None:
        self.spec = spec
        self.class_weights = class_weights
        self.label_smoothing = label_smoothing
        self.regression_loss = LOSSES[regression_loss]

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return what the training lowers, a scalar; labels may be smoothed or blended."""
        raise NotImplementedError

    def losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of each image, (batch,), for its own labels without smoothing."""
        raise NotImplementedError

    def answers(self, outputs: Tensor) -> Tensor:
        """Return probabilities, or values in their own units: (batch, classes or targets)."""
        raise NotImplementedError

    def scores(self, stage: Literal["val", "test"]) -> Scores:
        """Return the metrics of outputs and labels."""
        raise NotImplementedError

    def tta_scores(self) -> Scores:
        """Return the metrics of answers, which are the mean of several views, and labels."""
        raise NotImplementedError


class Classification(ImageTask):
    """Softmax cross-entropy; accuracy, top-5 (with more than 5 classes), macro F1; at test also calibration error."""

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        weights = None if self.class_weights is None else self.class_weights.to(outputs.device)
        return F.cross_entropy(outputs, labels, weight=weights, label_smoothing=self.label_smoothing)

    def losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(outputs, labels, reduction="none")

    def answers(self, outputs: Tensor) -> Tensor:
        return outputs.softmax(1)

    def scores(self, stage: Literal["val", "test"]) -> Scores:
        num_classes = self.spec["num_classes"]
        scores: dict[str, Metric | MetricCollection] = {
            "loss": _CrossEntropy(nan_strategy="disable"),  # a NaN loss must be seen
            "accuracy": MulticlassAccuracy(num_classes, average="micro"),
            "macro_f1": MulticlassF1Score(num_classes, average="macro"),
        }
        if num_classes > 5:
            scores["top5_accuracy"] = MulticlassAccuracy(num_classes, average="micro", top_k=5)
        if stage == "test":
            scores["calibration_error"] = _CalibrationError(num_classes)
        return MetricCollection(scores, compute_groups=False)

    def tta_scores(self) -> Scores:
        return MetricCollection({"accuracy": MulticlassAccuracy(self.spec["num_classes"], average="micro")})


class _CrossEntropy(MeanMetric):
    """The mean over rows."""

    def update(self, preds: Tensor, target: Tensor) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().update(F.cross_entropy(preds, target, reduction="none"))


class _CalibrationError(MulticlassCalibrationError):
    """The calibration error of logits. torchmetrics' own takes logits within [0, 1] for probabilities."""

    def update(self, preds: Tensor, target: Tensor) -> None:
        super().update(preds.softmax(1), target)


class Multilabel(ImageTask):
    """Binary cross-entropy of each label; mean average precision, micro and macro F1; at test also those of each label.

    An image has the labels whose probability is at least their threshold. Each validation of a training chooses the
    thresholds with the highest F1 of each label; a label that no validation image has keeps 0.5, and is left out of the
    means. `spec["thresholds"]` holds them, and a checkpoint those of its own weights.
    """

    def __init__(self, spec: dict[str, Any], **choices: Any) -> None:
        super().__init__(spec, **choices)
        if len(self.thresholds) != spec["num_classes"]:
            raise ValueError(f"{spec['num_classes']} labels need a threshold each, got {self.thresholds}")

    @property
    def thresholds(self) -> list[float]:
        """From which probability on an image has each label."""
        return self.spec.get("thresholds") or [0.5] * self.spec["num_classes"]

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        # Halfway to 0.5, as label smoothing of two classes is: absent or present.
        smoothed = labels * (1 - self.label_smoothing) + self.label_smoothing / 2
        return F.binary_cross_entropy_with_logits(outputs, smoothed.to(outputs))

    def losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(outputs, labels.to(outputs), reduction="none").mean(1)

    def answers(self, outputs: Tensor) -> Tensor:
        return outputs.sigmoid()

    def scores(self, stage: Literal["val", "test"]) -> Scores:
        return RowScores(self._val_scores if stage == "val" else self._test_scores)

    def _val_scores(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Also the thresholds that these rows choose."""
        thresholds = choose_thresholds(self._probabilities(outputs), labels)
        return {**self._means(outputs, labels, thresholds), "thresholds": thresholds}

    def _test_scores(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return self._means(outputs, labels, torch.tensor(self.thresholds), self.spec["class_names"])

    def _means(
        self, outputs: Tensor, labels: Tensor, thresholds: Tensor, names: list[str] | None = None
    ) -> dict[str, Tensor]:
        scores = label_scores(self._probabilities(outputs), labels, thresholds, names)
        return {"loss": self.losses(outputs, labels).mean(), **scores}

    def _probabilities(self, outputs: Tensor) -> Tensor:
        # In the precision of the answers, which are compared with the thresholds.
        return self.answers(outputs.float()).double()

    def tta_scores(self) -> Scores:
        return RowScores(self._tta_scores)

    def _tta_scores(self, answers: Tensor, labels: Tensor) -> dict[str, Tensor]:
        scores = label_scores(answers, labels, torch.tensor(self.thresholds))
        return {"mean_average_precision": scores["mean_average_precision"]}


class Regression(ImageTask):
    """Squared or absolute error of the scaled targets; R2, RMSE and MAE in their own units.

    Targets are scaled by the training rows' mean and standard deviation, and are not smoothed. With `y_range` in the
    spec the answers lie within it: a sigmoid of the outputs.
    """

    def loss(self, outputs: Tensor, labels: Tensor) -> Tensor:
        return self.regression_loss(self._scaled_answers(outputs), self._scaled(labels.to(outputs)))

    def losses(self, outputs: Tensor, labels: Tensor) -> Tensor:
        scaled = self._scaled_answers(outputs), self._scaled(labels.to(outputs))
        return self.regression_loss(*scaled, reduction="none").mean(1)

    def answers(self, outputs: Tensor) -> Tensor:
        if "y_range" in self.spec:
            low, high = outputs.new_tensor(self.spec["y_range"])
            return torch.lerp(low, high, outputs.sigmoid())
        return outputs * self._fact("target_std", outputs) + self._fact("target_mean", outputs)

    def _scaled_answers(self, outputs: Tensor) -> Tensor:
        return self._scaled(self.answers(outputs)) if "y_range" in self.spec else outputs

    def _scaled(self, values: Tensor) -> Tensor:
        return (values - self._fact("target_mean", values)) / self._fact("target_std", values)

    def _fact(self, name: str, like: Tensor) -> Tensor:
        return like.new_tensor(self.spec[name])

    def scores(self, stage: Literal["val", "test"]) -> Scores:
        return RowScores(self._scores)

    def _scores(self, outputs: Tensor, labels: Tensor) -> dict[str, Tensor]:
        found = regression_scores(self.answers(outputs), labels.double(), self.spec["class_names"])
        return {"loss": self.losses(outputs, labels).mean(), **found}

    def tta_scores(self) -> Scores:
        return RowScores(self._tta_scores)

    def _tta_scores(self, answers: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"r2": regression_scores(answers, labels.double(), self.spec["class_names"])["r2"]}


TASKS: dict[str, type[ImageTask]] = {
    "classification": Classification,
    "multilabel": Multilabel,
    "regression": Regression,
}
