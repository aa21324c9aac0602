"""What all models share: building the net for the data, optimizer, schedule, freezing and checkpoints."""

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.plugins import Precision
from pytorch_lightning.utilities import GradClipAlgorithmType, rank_zero_only
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from src.core.migrations import FORMAT_KEY, changes_since, newest_format
from src.core.output import note
from src.models.checkpoint_checks import check_schedule, check_spec, check_weights
from src.models.layer_groups import body_parameters, layer_groups, norm_parameters
from src.models.stages import Stage, StagedLR, stage_lengths


class BaseModel(pl.LightningModule):
    """A LightningModule that builds its net once the data's `spec` is known.

    hparams holds plain data only: `model`, its config, and `spec`, what the data tell the net (sizes, class names). So
    a checkpoint loads with weights_only and predicts without the training data (see src/training/checkpoint.py).

    Args:
        net: Called with the entries of the spec that it names.
        optimizer: Called with parameter groups and lr.
        scheduler: Called with the optimizer and, if it names it, total_steps. It steps with the optimizer;
            ReduceLROnPlateau steps after each validation, on val/loss.
        lr: The schedule's peak for the last layer group.
        lr_ratio: The first group's lr divided by the last's.
        compile: Whether to run torch.compile on the net.
    """

    # Entries of the spec in which checkpoint and data may differ: the checkpoint's are kept.
    statistics: tuple[str, ...] = ()

    def __init__(
        self,
        *,
        net: Callable[..., nn.Module],
        optimizer: Callable[..., Optimizer],
        scheduler: Callable[..., LRScheduler],
        lr: float,
        lr_ratio: float,
        compile: bool,
    ) -> None:
        super().__init__()
        if not lr > 0 or not 0 < lr_ratio <= 1:
            raise ValueError(f"model.lr must be positive and model.lr_ratio within (0, 1], got {lr=}, {lr_ratio=}")
        self.make_net = net
        self.make_optimizer = optimizer
        self.make_scheduler = scheduler
        self.lr = lr
        self.lr_ratio = lr_ratio
        self.compile_net = compile
        self.net: nn.Module | None = None
        self.stages: list[Stage] = []
        self._frozen: list[nn.Parameter] = []
        self.schedule_steps: int | None = None  # known and needed only while fitting
        self._saved_steps: int | None = None
        self._has_begun = False

    def build(self, spec: dict[str, Any]) -> None:
        """Make `self.net` and everything else that depends on the data."""
        raise NotImplementedError

    def make_net_for(self, spec: dict[str, Any]) -> nn.Module:
        """Return the net for those entries of the spec that it names; ValueError if it needs others."""
        accepted = named_arguments(self.make_net, spec)
        try:
            inspect.signature(self.make_net).bind(**accepted)
        except TypeError as error:
            name = getattr(getattr(self.make_net, "func", self.make_net), "__name__", "the net")
            raise ValueError(
                f"{name} does not fit {type(self).__name__} and its data, {error}: choose another model/net, or an "
                "experiment for this kind of data"
            ) from None
        return self.make_net(**accepted)

    def configure_model(self) -> None:
        if self.net is not None:
            return
        if "spec" not in self.hparams:
            self.hparams["spec"] = self.trainer.datamodule.spec  # pyright: ignore[reportAttributeAccessIssue]
        self.build(self.hparams["spec"])
        assert self.net is not None
        if self.compile_net:
            self.net.compile()

    def load_start(self) -> None:
        """Load the weights that a training without a checkpoint starts from: by the net's `load_pretrained()`."""
        if load := getattr(self.net, "load_pretrained", None):
            load()

    def configure_optimizers(self) -> Any:
        # Here, because only now a training begins and it is known whether a checkpoint brings all weights.
        if not self._has_begun and not self.trainer.ckpt_path:
            self.load_start()
        self._has_begun = True
        optimizer = self.make_optimizer(self.parameter_groups(), lr=self.lr)
        needs_length = bool(named_arguments(self.make_scheduler, {"total_steps": None}))
        if needs_length or self.stages:
            self.schedule_steps = self._total_steps()
        make = self.make_scheduler if needs_length else lambda optimizer, total_steps: self.make_scheduler(optimizer)
        scheduler = self._staged(optimizer, make) if self.stages else make(optimizer, total_steps=self.schedule_steps)
        settings: dict[str, Any] = {"scheduler": scheduler, "interval": "step"}
        if isinstance(scheduler, ReduceLROnPlateau):
            if scheduler.mode != "min":
                raise ValueError(f"ReduceLROnPlateau watches val/loss: its mode must be min, got {scheduler.mode}")
            frequency = self.trainer.check_val_every_n_epoch or 1
            settings |= {"interval": "epoch", "frequency": frequency, "monitor": "val/loss"}
        return {"optimizer": optimizer, "lr_scheduler": settings}

    def use_stages(self, epochs: Sequence[int | None], lr: Sequence[float], lr_ratio: Sequence[float]) -> None:
        """Run the schedule anew in each of some stages, see `Stage`; for callbacks, before the training."""
        self.stages = [Stage(*values) for values in zip(epochs, lr, lr_ratio, strict=True)]

    def _staged(self, optimizer: Optimizer, make: Callable[..., LRScheduler]) -> LRScheduler:
        assert self.schedule_steps is not None
        reached = stage_lengths(self.stages, self.schedule_steps, self.trainer)
        peaks = [group["lr"] for group in self.parameter_groups()]
        of_stages = [
            [stage.lr * group["lr"] for group in self.parameter_groups(stage.lr_ratio)] for stage, _ in reached
        ]
        factors = [[lr / peak for lr, peak in zip(lrs, peaks, strict=True)] for lrs in of_stages]
        return StagedLR(optimizer, make, [length for _, length in reached], factors)

    def _total_steps(self) -> int:
        steps = self.trainer.estimated_stepping_batches
        if not math.isfinite(steps) or steps < 1:
            raise ValueError(f"the schedule needs the training's length: set trainer.max_epochs, got {steps} steps")
        if self.trainer.ckpt_path and self._saved_steps not in (None, int(steps)):
            raise ValueError(
                f"the checkpoint's schedule is {self._saved_steps} steps long, this run's {int(steps)}: resume with "
                "the same trainer.max_epochs and the same batches"
            )
        return int(steps)

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        length = getattr(scheduler, "total_steps", self.schedule_steps)
        if length is not None and self._steps_by_step() and scheduler.last_epoch >= length:
            raise ValueError(
                f"the schedule is {length} steps long and has ended before the training: the data gave more batches "
                "than they counted, or the checkpoint's counts were changed"
            )
        super().lr_scheduler_step(scheduler, metric)

    def _steps_by_step(self) -> bool:
        """Whether the schedule counts steps; Lightning's SWA puts one that counts epochs in its place."""
        return any(config.interval == "step" for config in self.trainer.lr_scheduler_configs)

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: Any = None, gradient_clip_algorithm: Any = None
    ) -> None:
        # Lightning refuses to clip for a fused optimizer in mixed precision, because gradients must be unscaled first.
        # Only fp16 scales them.
        plugin = self.trainer.precision_plugin
        if gradient_clip_val is None or getattr(plugin, "scaler", None) is not None:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
        else:
            algorithm = GradClipAlgorithmType(gradient_clip_algorithm or GradClipAlgorithmType.NORM)
            Precision.clip_gradients(plugin, optimizer, gradient_clip_val, algorithm)

    def log_loss(self, loss: Tensor, batch_size: int) -> None:
        """Log train/loss, the mean over ranks, at logged steps and at the end of an epoch.

        Each call of `log` takes 0.4 ms, and with several ranks a barrier and a reduction, even if nothing is written.
        """
        every: int = self.trainer.log_every_n_steps  # pyright: ignore[reportAttributeAccessIssue]
        if self.trainer.is_last_batch or (every > 0 and (self.trainer.global_step + 1) % every == 0):
            self.log("train/loss", loss, on_step=True, on_epoch=False, batch_size=batch_size, sync_dist=True)

    def on_step_left_out(self) -> None:
        """Drop what the model keeps from batch to batch; called in place of a step whose loss is not finite."""

    def parameter_groups(self, lr_ratio: float | None = None) -> list[dict[str, Any]]:
        """Return the optimizer's groups: lr grows geometrically with depth; biases and norms have no weight decay."""
        assert self.net is not None
        lr_ratio = self.lr_ratio if lr_ratio is None else lr_ratio
        modules = layer_groups(self.net)
        groups = []
        for depth, group in enumerate(modules):
            share = depth / (len(modules) - 1) if len(modules) > 1 else 1.0
            lr = self.lr * lr_ratio ** (1 - share)
            norms = norm_parameters(group)
            parameters = [p for module in group for p in module.parameters()]
            decayed = [p for p in parameters if p.ndim > 1 and id(p) not in norms]
            others = [p for p in parameters if p.ndim <= 1 or id(p) in norms]
            groups += [{"params": decayed, "lr": lr}, {"params": others, "lr": lr, "weight_decay": 0.0}]
        return [group for group in groups if group["params"]]

    def train_groups(self, number: int | None) -> None:
        """Train only the last layer groups and all norm layers, see `body_parameters`; None trains everything.

        Frozen parameters stay in the optimizer, which skips parameters without a gradient.
        """
        assert self.net is not None
        for parameter in self._frozen:
            parameter.requires_grad_(True)
        self._frozen = [] if number is None else body_parameters(self.net, number)
        for parameter in self._frozen:
            parameter.requires_grad_(False)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[FORMAT_KEY] = newest_format()
        length = self.schedule_steps
        checkpoint["schedule_steps"] = length if length is None or self._steps_by_step() else None
        for scheduler in checkpoint.get("lr_schedulers", []):
            scheduler.pop("anneal_func", None)  # in torch 2.3, which torchtext needs, a function: not plain data

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        saved = checkpoint.get("hyper_parameters", {}).get("spec")
        here = self.hparams.get("spec")
        if here is None:
            return
        if saved is None:
            raise ValueError("the checkpoint is not from fastlight: it lacks hyper_parameters.spec")
        check_spec(saved, here, self.statistics)
        for change in changes_since(checkpoint, self.hparams.get("model")):
            rank_zero_only(note)(change)
        self.hparams["spec"] = {**here, **saved}
        self._saved_steps = checkpoint.get("schedule_steps")
        check_schedule(checkpoint)
        check_weights(checkpoint["state_dict"], self.state_dict())


def named_arguments(function: Callable[..., Any], values: dict[str, Any]) -> dict[str, Any]:
    """Return the values that a function names as arguments, or all of them if it takes **kwargs."""
    parameters = inspect.signature(function).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return values
    return {name: value for name, value in values.items() if name in parameters}
