"""Checks each loss before its step: one that is NaN or infinite ends the training, or its step is skipped."""

import math
from typing import Any, Literal

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from src.core.internals import asks_grad_scaler, is_accumulating
from src.core.ranks import PendingMax, gather, start_max


class NanGuard(Callback):
    """Prevents a step on all ranks if the loss is not finite on one of them.

    It also refuses to save weights that are not finite, such as after an infinite gradient of a finite loss; the last
    good checkpoint stays.

    Cost: 12 us a step on a CPU; with skip another 2 us for each buffer, of which a batch norm has three. It waits for a
    GPU once a step, only for the forward pass: the backward pass is already queued and keeps the GPU busy.

    Args:
        on_nan: stop raises ValueError with the step, the lr and the batch's rows. skip leaves weights, buffers and
            optimizer as they were before the step; the schedule continues, and train/skipped_steps counts.
    """

    def __init__(self, *, on_nan: Literal["stop", "skip"]) -> None:
        if on_nan not in ("stop", "skip"):
            raise ValueError(f"nan_guard.on_nan must be stop or skip, got {on_nan}")
        self.on_nan = on_nan
        self.skipped_steps = 0
        self._losses: list[Tensor] = []  # of the batches since the last step
        self._buffers: list[Tensor] = []  # before them
        self._is_bad: PendingMax | None = None
        self._loaded: list[dict[str, list[Tensor]]] = []

    def state_dict(self) -> dict[str, Any]:
        # Between accumulated batches: their gradients are saved too, and may be those of a loss that was not finite.
        own = {"losses": [loss.cpu() for loss in self._losses], "buffers": []}
        if self._losses:
            own["buffers"] = [buffer.cpu() for buffer in self._buffers]
        return {"skipped_steps": self.skipped_steps, "ranks": gather(own)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.skipped_steps = state_dict["skipped_steps"]
        self._loaded = state_dict.get("ranks", [])  # older checkpoints lack it

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._losses, self._buffers = [], []
        loaded, self._loaded = self._loaded, []
        if loaded and loaded[0]["losses"]:
            own = loaded[trainer.global_rank % len(loaded)]
            self._losses = [loss.to(pl_module.device) for loss in own["losses"]]
            self._buffers = [buffer.to(pl_module.device) for buffer in own["buffers"]]

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if self.on_nan == "skip" and not self._losses:
            self._buffers = [buffer.clone() for buffer in pl_module.buffers()]

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        self._losses.append(loss.detach())
        if is_accumulating(trainer):
            return
        self._is_bad = start_max((~torch.stack(self._losses).isfinite().all()).int())

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        assert self._is_bad is not None
        if self._is_bad.wait():
            if self.on_nan == "stop":
                raise ValueError(self._message(trainer, optimizer))
            self._skip_step(trainer, pl_module, optimizer)
        self._losses = []

    def _skip_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        is_scaled = getattr(trainer.precision_plugin, "scaler", None) is not None
        if is_scaled and asks_grad_scaler(optimizer):
            # A fused optimizer asks fp16's scaler, which needs a gradient and skips infinite ones.
            for parameter in pl_module.parameters():
                if parameter.grad is not None:
                    parameter.grad.fill_(math.inf)
        else:  # an optimizer skips a parameter without a gradient, and its state
            optimizer.zero_grad(set_to_none=True)
        for buffer, before in zip(pl_module.buffers(), self._buffers, strict=True):
            buffer.copy_(before)
        getattr(pl_module, "on_step_left_out", lambda: None)()
        self.skipped_steps += 1

    def _message(self, trainer: Trainer, optimizer: Optimizer) -> str:
        step, epoch, lr = trainer.global_step + 1, trainer.current_epoch, optimizer.param_groups[-1]["lr"]
        losses = torch.stack(self._losses).tolist()
        bad = [place for place, loss in enumerate(losses) if not math.isfinite(loss)]
        if not bad:
            return f"the loss of another rank is not finite at step {step}; see that rank's message"
        batch = trainer.fit_loop.epoch_loop.batch_idx - (len(losses) - 1 - bad[0])
        loader: Any = trainer.train_dataloader
        rows = f" ({loader.describe_batch(batch)})" if hasattr(loader, "describe_batch") else ""
        return (
            f"the loss is {losses[bad[0]]} at step {step}, lr {lr:.3g}, epoch {epoch}, batch {batch}{rows}; the step "
            "is not taken: lower model.lr, set trainer.gradient_clip_val, look at the rows, or skip such steps with "
            "callbacks.nan_guard.on_nan=skip"
        )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.on_nan == "skip":
            how: dict[str, Any] = {"on_step": False, "on_epoch": True, "batch_size": 1, "sync_dist": True}
            self.log("train/skipped_steps", float(self.skipped_steps), **how)  # pyright: ignore[reportAttributeAccessIssue]

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        is_finite = torch.stack([parameter.detach().isfinite().all() for parameter in pl_module.parameters()]).all()
        if not all(gather(bool(is_finite))):  # under FSDP each rank has other weights
            raise ValueError(
                f"the weights are not finite after step {trainer.global_step}, although every loss was; they are not "
                "saved: lower model.lr, or set trainer.gradient_clip_val"
            )
