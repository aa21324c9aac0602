"""Trains and scores a net on the rows of a table."""

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from src.models.base import BaseModel
from src.models.class_weights import ClassWeights, check_class_weights, class_weights_of
from src.models.row_scores import RowScores, mean_of_rows, regression_scores
from src.models.tables.intervals import half_widths, kept_errors
from src.models.tables.regression_losses import LOG_RATES, check_counts, regression_loss_of
from src.models.tables.scores import class_scores

NET_SPEC = ("category_sizes", "num_continuous", "num_outputs", "continuous_bins", "target_range")
INVERSES = {"log": torch.exp, "log1p": torch.expm1}


class TabularModel(BaseModel):
    """Cross-entropy for classes; squared, absolute, quantile or Poisson error of the scaled targets for regression.

    Batches are (categories, continuous, targets) or, if rows count by weights, (categories, continuous, targets,
    weights), as TableData makes them; the table's `task` decides. Outputs of the
    net are (batch, outputs) or (batch, members, outputs). Members of an ensemble learn separately and predict the mean
    of their probabilities or scaled values. Regression scores, except `loss`, are in the targets' original units.

    Args:
        regression_loss: "mse", "l1"; a number within (0, 1), for the value that this share of the targets is below; or
            "poisson", for counts, of which the net learns the logarithm of the mean.
        class_weights: One per class, in the order of the table's class_names, or "balanced", see `class_weights_of`;
            None weighs all alike. Each device takes the weighted mean of its own rows. Only the training uses weights
            and label_smoothing.
        answer_margin: Of a regression, answers stay within the range of the scaled training targets and this share of
            it on either side; the loss of the training does not. None leaves them free.
    """

    statistics = ("class_counts",)
    loss_weights: Tensor | None
    limits: Tensor | None

    def __init__(
        self,
        *,
        regression_loss: Literal["mse", "l1", "poisson"] | float,
        class_weights: ClassWeights,
        label_smoothing: float,
        answer_margin: float | None,
        **base: Any,
    ) -> None:
        super().__init__(**base)
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"model.label_smoothing must be within [0, 1), got {label_smoothing}")
        if answer_margin is not None and not answer_margin >= 0:
            raise ValueError(f"model.answer_margin must be 0 or more, or null, got {answer_margin}")
        check_class_weights(class_weights)
        self.answer_margin = answer_margin
        self.regression_loss = regression_loss_of(regression_loss)
        self.is_poisson = regression_loss == "poisson"
        self.class_weights: ClassWeights = class_weights
        self.label_smoothing = label_smoothing

    def build(self, spec: dict[str, Any]) -> None:
        self.net = self.make_net_for({name: spec[name] for name in NET_SPEC})
        self.is_regression = spec["task"] == "regression"
        self.learns_counts = self.is_regression and self.is_poisson
        if self.learns_counts:
            check_counts(spec)
        self.register_buffer("loss_weights", class_weights_of(self.class_weights, spec), persistent=False)
        self.register_buffer("limits", self._limits(spec["target_range"]), persistent=False)
        weighted = spec.get("row_weight") is not None
        self.val_scores = RowScores(self._validation_scores, weighted=weighted)
        self.test_scores = RowScores(self._scores, weighted=weighted)

    def _limits(self, target_range: list[list[float]]) -> Tensor | None:
        """Return the lowest and the highest scaled answer of each target, (2, targets), if there are such."""
        if self.answer_margin is None or not target_range:
            return None
        low, high = torch.tensor(target_range).T
        margin = self.answer_margin * (high - low)
        return torch.stack([low - margin, high + margin])

    def forward(self, categories: Tensor, continuous: Tensor) -> Tensor:
        """Return the net's outputs: (batch, outputs) or (batch, members, outputs)."""
        assert self.net is not None
        return self.net(categories, continuous)

    def predict(self, categories: Tensor, continuous: Tensor) -> Tensor:
        """Return probabilities, (batch, classes), or values in original units, float64 (batch, targets)."""
        answers = self.answers(categories, continuous)
        return self.decoded(answers) if self.is_regression else answers.exp()

    def answers(self, categories: Tensor, continuous: Tensor) -> Tensor:
        """Return log probabilities, (batch, classes), or scaled values, (batch, targets)."""
        return self._predictions(self._members(categories, continuous))

    def interval(self, categories: Tensor, continuous: Tensor, share: float) -> Tensor:
        """Return between which values a share of rows like the validation rows has its targets.

        They are float64 (batch, targets, 2), the low ends and the high ones.

        Raises ValueError for classes, for an older checkpoint, and as `half_widths` does.
        """
        kept = self.hparams.get("valid_errors")
        if not self.is_regression or kept is None:
            reason = "a checkpoint of an older version lacks their errors" if self.is_regression else "it has classes"
            raise ValueError(f"intervals are for regression, by the errors of validation rows: {reason}")
        values, width = self.answers(categories, continuous), half_widths(kept, share)
        values, width = values.cpu().double(), torch.stack([-width, width], 1)
        return torch.stack([self.decoded(values + ends) for ends in width.T], 2)

    def decoded(self, values: Tensor) -> Tensor:
        """Return scaled targets, (batch, targets), in their original units, float64.

        float32 has three different values within the 200 seconds after 1,700,000,000.
        """
        scaling = self.hparams["spec"]["processing"]["target"]
        values = (values.cpu() if values.device.type == "mps" else values).double()  # mps has no float64
        mean, std = (torch.tensor(scaling[name], dtype=values.dtype, device=values.device) for name in ("mean", "std"))
        unscaled = values * std + mean
        inverse = INVERSES.get(scaling["kind"])
        return inverse(unscaled) if inverse else unscaled

    def _members(self, categories: Tensor, continuous: Tensor) -> Tensor:
        """Return each member's values or logits: (batch, members, targets or classes); a single net is one member."""
        outputs = self(categories, continuous).float()
        outputs = outputs.unsqueeze(1) if outputs.ndim == 2 else outputs
        if self.learns_counts:
            return outputs.clamp(*LOG_RATES).exp()
        # A binary task has the logit of the second class; that of the first is 0.
        return F.pad(outputs, (1, 0)) if not self.is_regression and outputs.shape[2] == 1 else outputs

    def _predictions(self, members: Tensor) -> Tensor:
        """Return the members' mean of scaled values, or the logarithm of their mean probabilities."""
        if self.is_regression:
            values = members.mean(1)
            return values if self.limits is None else values.clamp(*self.limits)
        return members.log_softmax(2).logsumexp(1) - math.log(members.shape[1])

    def training_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:
        categories, continuous, *known = batch
        members = self._members(categories, continuous)
        # The mean of the members' losses, not the loss of their mean: each member must be good alone.
        loss = self._loss(members.flatten(0, 1), *(rows.repeat_interleave(members.shape[1], 0) for rows in known))
        self.log_loss(loss, len(categories))
        return loss

    def _loss(self, outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
        how: dict[str, Any] = {}
        if not self.is_regression:
            how = {"weight": self.loss_weights, "label_smoothing": self.label_smoothing}
        loss = self.regression_loss if self.is_regression else F.cross_entropy
        if weights is None:
            return loss(outputs, targets, **how)
        losses = loss(outputs, targets, reduction="none", **how).reshape(len(targets), -1).mean(1)
        # Not divided by the weights of the batch: their mean in training is 1, and a light batch is to stay light.
        of_classes = 1.0 if self.loss_weights is None else self.loss_weights[targets].mean()
        return (weights * losses).mean() / of_classes

    def validation_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> None:
        self._score(self.val_scores, *batch)

    def test_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> None:
        self._score(self.test_scores, *batch)

    def _score(self, scores: RowScores, categories: Tensor, continuous: Tensor, *known: Tensor) -> None:
        scores.update(self.answers(categories, continuous), *known)

    def _scores(self, predictions: Tensor, targets: Tensor, weights: Tensor | None = None) -> dict[str, Tensor]:
        if not self.is_regression:
            return class_scores(predictions, targets, weights)
        names = self.hparams["spec"]["processing"]["choices"]["target"]
        losses = self.regression_loss(predictions, targets.double(), reduction="none").mean(1)
        originals = self.decoded(predictions), self.decoded(targets.double())
        return {"loss": mean_of_rows(losses, weights), **regression_scores(*originals, names, weights)}

    def _validation_scores(self, predictions: Tensor, targets: Tensor, *weights: Tensor) -> dict[str, Tensor]:
        if self.is_regression:
            self.hparams["valid_errors"] = kept_errors((predictions - targets).abs())  # a checkpoint keeps hparams
        return self._scores(predictions, targets, *weights)

    def on_validation_epoch_end(self) -> None:
        self._log_scores("val", self.val_scores)

    def on_test_epoch_end(self) -> None:
        self._log_scores("test", self.test_scores)

    def _log_scores(self, stage: str, scores: RowScores) -> None:
        named = {f"{stage}/{name}": score for name, score in scores.compute().items()}
        scores.reset()
        # The values are already those of all ranks; sync_dist only tells Lightning.
        self.log_dict(named, prog_bar=True, sync_dist=True)
