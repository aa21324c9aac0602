"""Trains and scores a net that predicts the next token of a stream."""

import math
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from src.core.ranks import gather
from src.models.base import BaseModel
from src.models.text.decoder_loss import decoder_loss, decoder_losses
from src.models.text.dynamic_evaluation import DynamicEvaluation
from src.models.text.generation import generate
from src.models.text.hidden_state import dealt, mapped
from src.models.text.neural_cache import NeuralCache
from src.models.text.recurrent_net import LanguageFeatures
from src.models.text.token_loss import IGNORED

PROJECTIONS = {"auto": None, "bf16": torch.bfloat16, "fp32": torch.float32}


class LanguageModel(BaseModel):
    """Softmax cross-entropy of each next token; perplexity and bits per token over the whole stream.

    Batches are (tokens, targets), int64 (time, batch): one window after another of the same tracks. A target of -100
    does not count. A third part, bool, marks the tokens at which a document begins, where the state is set to zero. The
    state goes from each window to the next without its history. It starts at None (zeros) in each epoch, validation and
    test; a checkpoint keeps the state of the training.

    Scores are sums of token losses divided by numbers of tokens, in float64 across windows. They do not depend on how
    the stream is cut into windows, except with `dynamic`. They depend on the batch size, because each track begins
    without a past and a loader may drop the tail: report the number for batch size 1.

    If the training loader varies its windows, each step's lr is scaled by the window's length divided by `bptt`.
    Source: Merity et al. 2017, arXiv:1708.02182, sections 4.1 (lr) and 4.6 (AR, TAR).

    Args:
        alpha: Weight of AR, the mean square of the last layer's output after dropout; not part of a logged loss.
        beta: Weight of TAR, the mean square of its changes over time before dropout; not part of a logged loss.
        loss_chunk: Tokens whose logits exist at one time.
        projection: What a linear decoder multiplies in: bf16, fp32, or auto, the trainer's precision.
        cache, dynamic: Used at test.
    """

    def __init__(
        self,
        *,
        alpha: float,
        beta: float,
        loss_chunk: int,
        projection: str,
        cache: NeuralCache | None,
        dynamic: DynamicEvaluation | None,
        **base: Any,
    ) -> None:
        super().__init__(**base)
        if alpha < 0 or beta < 0:
            raise ValueError(f"model.alpha and model.beta must not be negative, got {alpha=}, {beta=}")
        if loss_chunk < 1:
            raise ValueError(f"model.loss_chunk must be positive, got {loss_chunk}")
        if projection not in PROJECTIONS:
            raise ValueError(f"model.projection must be one of {', '.join(PROJECTIONS)}, got {projection}")
        self.alpha = alpha
        self.beta = beta
        self.loss_choices = {"chunk_size": loss_chunk, "dtype": PROJECTIONS[projection]}
        self.cache = cache
        self.dynamic = dynamic
        self.state: Any = None
        self.scoring_state: Any = None
        self._num_tracks: dict[str, int] = {}  # by stage
        self._lengths: list[int] = []  # of the windows since the last step
        self._sums: list[Tensor] = []
        self._counts: list[Tensor] = []

    def build(self, spec: dict[str, Any]) -> None:
        self.net = self.make_net_for({"vocab_size": spec["vocab_size"]})

    def forward(self, tokens: Tensor, state: Any = None, *starts: Tensor) -> LanguageFeatures:
        """Return the features of tokens, (time, batch), after the state of the window before (None at first)."""
        assert self.net is not None
        return self.net(tokens, state, *starts)

    def on_train_start(self) -> None:
        self.state = mapped(lambda tensor: tensor.to(self.device), self.state)  # a checkpoint's state is on the CPU

    def on_train_epoch_start(self) -> None:
        self.state = None

    def on_train_batch_start(self, batch: tuple[Tensor, ...], batch_idx: int) -> None:
        if batch_idx == 0:
            self.state = None  # again: a run that resumes after an epoch's last window has no epoch start
        self._lengths.append(len(batch[0]))

    def training_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> Tensor:
        tokens, targets, *starts = batch
        self._check_tracks("train", tokens, self.state)
        dropped, raw, state = self(tokens, self.state, *starts)
        self.state = mapped(Tensor.detach, state)
        decoder = self.net.decoder  # pyright: ignore[reportOptionalMemberAccess]
        loss = decoder_loss(decoder, dropped, targets, **self.loss_choices)
        self.log_loss(loss.detach(), tokens.numel())
        return loss + self._penalty(dropped.float(), raw.float())

    def on_step_left_out(self) -> None:
        self.state = None  # the window's state is not finite either

    def _penalty(self, dropped: Tensor, raw: Tensor) -> Tensor | float:
        penalty = self.alpha * dropped.square().mean() if self.alpha else 0.0
        if self.beta and len(raw) > 1:  # includes the rare jumps to a new document
            penalty += self.beta * (raw[1:] - raw[:-1]).square().mean()
        return penalty

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        # Scale the rate, not the loss, which clipping, weight decay and Adam would treat differently.
        share, self._lengths = self._share_of_lr(), []
        rates = [group["lr"] for group in optimizer.param_groups]
        for group in optimizer.param_groups:
            group["lr"] = group["lr"] * share
        try:
            super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        finally:
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate

    def _share_of_lr(self) -> float:
        loader = self.trainer.train_dataloader
        if not getattr(loader, "vary", False) or not self._lengths:
            return 1.0
        return sum(self._lengths) / len(self._lengths) / loader.bptt  # pyright: ignore[reportOptionalMemberAccess]

    def on_validation_epoch_start(self) -> None:
        self._begin_scoring()

    def on_test_epoch_start(self) -> None:
        self._begin_scoring()
        if self.dynamic is not None:
            assert self.net is not None
            self.dynamic.begin(self.net, self.trainer.world_size)

    def _begin_scoring(self) -> None:
        self.scoring_state, self._sums, self._counts = None, [], []
        if self.cache is not None:
            self.cache.reset()

    def validation_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> None:
        self._score(batch)

    def test_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> None:
        if self.dynamic is None:
            self._score(batch, cache=self.cache)
            return
        net: Any = self.dynamic.net
        with torch.inference_mode(False), torch.enable_grad():
            # Cloned: Lightning's are inference tensors, which have no gradients.
            batch = tuple(tensor.clone() for tensor in batch)
            features = self._score(batch, net, self.cache)
            self.dynamic.learn(decoder_loss(net.decoder, features, batch[1], **self.loss_choices))

    def token_losses(
        self, batch: tuple[Tensor, ...], state: Any = None, net: Any = None
    ) -> tuple[Tensor, LanguageFeatures]:
        """Return the loss of each target of a window, (time, batch), 0 where it is -100, and the window's features.

        Args:
            state: The state in the features of the window before.
            net: Used in place of the model's own net.
        """
        tokens, targets, *starts = batch
        net = self.net if net is None else net
        features = net(tokens, state, *starts)
        return decoder_losses(net.decoder, features.dropped, targets, **self.loss_choices), features

    def _score(self, batch: tuple[Tensor, ...], net: Any = None, cache: NeuralCache | None = None) -> Tensor:
        """Add the losses of a window to the score; return its features."""
        targets = batch[1]
        self._check_tracks("scoring", targets, self.scoring_state)
        losses, (dropped, _, state) = self.token_losses(batch, self.scoring_state, net)
        self.scoring_state = mapped(Tensor.detach, state)
        if cache is not None:
            losses = torch.where(targets != IGNORED, -cache.mixed(dropped.detach(), targets, -losses), 0.0)
        self._sums.append(losses.sum())
        self._counts.append((targets != IGNORED).sum())
        return dropped

    def on_validation_epoch_end(self) -> None:
        self._log_scores("val")

    def on_test_epoch_end(self) -> None:
        self._log_scores("test")
        if self.dynamic is not None:
            self.dynamic.end()

    def _log_scores(self, stage: str) -> None:
        # Fetched from the device once, so no window waits.
        own = [torch.stack(values).cpu().double().sum() for values in (self._sums, self._counts)]
        total, count = torch.stack(gather(torch.stack(own))).sum(0)
        self._begin_scoring()
        loss = total / count
        scores = {"loss": loss, "perplexity": loss.exp(), "bits_per_token": loss / math.log(2)}
        # The values are already those of all ranks; sync_dist only tells Lightning.
        named = {f"{stage}/{name}": score.float() for name, score in scores.items()}
        self.log_dict(named, prog_bar=True, sync_dist=True)

    def continued(self, tokens: list[int], length: int, **sampling: Any) -> list[int]:
        """Return `length` tokens that follow the given ones; for the sampling options see `generate`."""
        assert self.net is not None
        was_training = self.net.training
        self.net.eval()
        drawn = generate(self.net, torch.tensor(tokens, device=self.device), **sampling)
        found = list(islice(drawn, length))
        self.net.train(was_training)
        return found

    def _check_tracks(self, stage: str, tokens: Tensor, state: Any) -> None:
        # An error, not a reset: tokens in the middle of a text would be scored without their past.
        before = self._num_tracks.get(stage)
        self._num_tracks[stage] = tokens.shape[1]
        if state is not None and before != tokens.shape[1]:
            raise ValueError(
                f"all windows of an epoch must have the same batch size, got {tokens.shape[1]} after {before}; "
                "change it between epochs"
            )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        # Cloned: a state may be a view of a whole window, which would be saved too.
        state = mapped(lambda tensor: tensor.cpu().clone(), self.state)
        checkpoint["hidden_state"] = {
            "ranks": gather(state),
            "num_tracks": self._num_tracks.get("train", 0),
            "lengths": list(self._lengths),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        saved = checkpoint.get("hidden_state", {"ranks": [None], "num_tracks": 0, "lengths": []})
        ranks, devices = saved["ranks"], self.trainer.world_size
        self.state = dealt(ranks, self.trainer.global_rank, devices)
        self._num_tracks["train"] = saved["num_tracks"] * len(ranks) // devices
        self._lengths = list(saved["lengths"])
