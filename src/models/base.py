"""What all models share: building the net from the data's facts, layer groups, optimizer, schedule, checkpoints."""

import inspect
import math
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.plugins import Precision
from pytorch_lightning.utilities import GradClipAlgorithmType
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from src.models.layer_groups import layer_groups, norm_parameters


class BaseModel(pl.LightningModule):
    """A LightningModule whose net is built once the data's facts (`spec`) are known.

    net: called with the facts that it names.  optimizer: called with parameter groups and lr.
    scheduler: called with the optimizer and, if it names it, total_steps; it steps once per optimizer step, but
    ReduceLROnPlateau once per validation, on val/loss.
    lr: the schedule's peak for the last layer group.  lr_ratio: the first group's lr over the last's.

    hparams holds plain data only: `model`, the config it was made from, and `spec`. So a checkpoint loads with
    weights_only and predicts without the training data (see src/training/checkpoint.py).
    """

    # Facts that may differ between a checkpoint and the data it meets: the checkpoint's are kept.
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
        self._frozen: list[nn.Parameter] = []
        self.schedule_steps: int | None = None  # known and needed only while fitting
        self._saved_steps: int | None = None

    def build(self, spec: dict[str, Any]) -> None:
        """Make `self.net`, and whatever else depends on the data, from its facts."""
        raise NotImplementedError

    def net_for(self, facts: dict[str, Any]) -> nn.Module:
        """The net, made from those of the facts that it names. Raises ValueError if it needs others."""
        accepted = named_arguments(self.make_net, facts)
        try:
            inspect.signature(self.make_net).bind(**accepted)
        except TypeError as error:
            name = getattr(getattr(self.make_net, "func", self.make_net), "__name__", "the net")
            raise ValueError(
                f"{name} does not fit {type(self).__name__} and its data, {error}: choose another model/net, or an "
                "experiment of this kind of data"
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

    def configure_optimizers(self) -> Any:
        optimizer = self.make_optimizer(self.parameter_groups(), lr=self.lr)
        facts = {}
        if named_arguments(self.make_scheduler, {"total_steps": None}):
            self.schedule_steps = facts["total_steps"] = self._total_steps()
        scheduler = self.make_scheduler(optimizer, **facts)
        settings: dict[str, Any] = {"scheduler": scheduler, "interval": "step"}
        if isinstance(scheduler, ReduceLROnPlateau):
            if scheduler.mode != "min":
                raise ValueError(f"ReduceLROnPlateau watches val/loss: its mode must be min, got {scheduler.mode}")
            frequency = self.trainer.check_val_every_n_epoch or 1
            settings |= {"interval": "epoch", "frequency": frequency, "monitor": "val/loss"}
        return {"optimizer": optimizer, "lr_scheduler": settings}

    def _total_steps(self) -> int:
        steps = self.trainer.estimated_stepping_batches
        if not math.isfinite(steps) or steps < 1:
            raise ValueError(f"the schedule needs the training's length: set trainer.max_epochs, got {steps} steps")
        if self.trainer.ckpt_path and self._saved_steps not in (None, int(steps)):
            raise ValueError(
                f"the checkpoint's schedule is {self._saved_steps} steps long, this run's {int(steps)}: continue with "
                "the same trainer.max_epochs and the same batches"
            )
        return int(steps)

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: Any = None, gradient_clip_algorithm: Any = None
    ) -> None:
        # Lightning refuses to clip for a fused optimizer in mixed precision; but without fp16's scaler there is nothing
        # that it would have to unscale first.
        plugin = self.trainer.precision_plugin
        if gradient_clip_val is None or getattr(plugin, "scaler", None) is not None:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
        else:
            algorithm = GradClipAlgorithmType(gradient_clip_algorithm or GradClipAlgorithmType.NORM)
            Precision.clip_gradients(plugin, optimizer, gradient_clip_val, algorithm)

    def log_loss(self, loss: Tensor, batch_size: int) -> None:
        """Log a batch's train/loss, the mean over ranks, at the steps that are written and at an epoch's end.

        A call of `log` takes 0.4 ms, and among ranks a barrier and a reduction, whether the value is written or not.
        """
        every: int = self.trainer.log_every_n_steps  # pyright: ignore[reportAttributeAccessIssue]
        if self.trainer.is_last_batch or (every > 0 and (self.trainer.global_step + 1) % every == 0):
            self.log("train/loss", loss, on_step=True, on_epoch=False, batch_size=batch_size, sync_dist=True)

    def on_step_left_out(self) -> None:
        """Called in place of a step whose loss was no number: what the model keeps from batch to batch is to go."""

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Parameters for the optimizer: by layer group, lr geometric in depth; biases and norms without decay.

        Parameters are told apart by identity: two that are equal in value are still two.
        """
        assert self.net is not None
        modules = layer_groups(self.net)
        groups = []
        for depth, group in enumerate(modules):
            share = depth / (len(modules) - 1) if len(modules) > 1 else 1.0
            lr = self.lr * self.lr_ratio ** (1 - share)
            spared = norm_parameters(group)
            parameters = [p for module in group for p in module.parameters()]
            decayed = [p for p in parameters if p.ndim > 1 and id(p) not in spared]
            others = [p for p in parameters if p.ndim <= 1 or id(p) in spared]
            groups += [{"params": decayed, "lr": lr}, {"params": others, "lr": lr, "weight_decay": 0.0}]
        return [group for group in groups if group["params"]]

    def freeze_body(self) -> None:
        """Let only the last layer group and all norm layers train, until `unfreeze_body`.

        Frozen parameters stay in the optimizer: without a gradient it leaves them and their state as they are.
        What the net itself keeps from training stays so. Raises ValueError if the net has one layer group only.
        """
        assert self.net is not None
        *body, _ = layer_groups(self.net)
        if not body:
            raise ValueError(f"freezing needs a net of two layer groups or more, {type(self.net).__name__} has one")
        for group in body:
            norms = norm_parameters(group)
            parameters = [p for module in group for p in module.parameters() if id(p) not in norms]
            self._frozen += [p for p in parameters if p.requires_grad]
        for parameter in self._frozen:
            parameter.requires_grad_(False)

    def unfreeze_body(self) -> None:
        """Let all that `freeze_body` froze train again."""
        for parameter in self._frozen:
            parameter.requires_grad_(True)
        self._frozen = []

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["schedule_steps"] = self.schedule_steps
        for scheduler in checkpoint.get("lr_schedulers", []):
            scheduler.pop("anneal_func", None)  # in torch 2.3, which torchtext needs: a function, no plain data

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        saved = checkpoint.get("hyper_parameters", {}).get("spec")
        here = self.hparams.get("spec")
        if here is None:
            return
        if saved is None:
            raise ValueError("the checkpoint is none of fastlight's: it lacks hyper_parameters.spec")
        compared = sorted({*saved, *here} - set(self.statistics))
        differing = [fact for fact in compared if saved.get(fact) != here.get(fact)]
        if differing:
            pairs = "; ".join(f"{f}: {_short(saved.get(f))} there, {_short(here.get(f))} here" for f in differing)
            raise ValueError(
                f"the checkpoint was trained on other data ({pairs}); choose the datamodule it was made with"
            )
        self.hparams["spec"] = {**here, **saved}
        self._saved_steps = checkpoint.get("schedule_steps")
        if "state_dict" in checkpoint:  # FSDP has put them into the net already
            self._check_weights(checkpoint["state_dict"])

    def _check_weights(self, saved: dict[str, Any]) -> None:
        own = self.state_dict()
        wrong = [name for name in own if name not in saved or own[name].shape != saved[name].shape]
        wrong += [name for name in saved if name not in own]
        if wrong:
            raise ValueError(
                f"the checkpoint holds another net: {len(wrong)} weights differ, such as {wrong[0]}; "
                "choose the model that it was made with"
            )


def named_arguments(function: Callable[..., Any], facts: dict[str, Any]) -> dict[str, Any]:
    """Those of the facts that a callable names as arguments; a callable with **kwargs gets them all."""
    parameters = inspect.signature(function).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return facts
    return {name: value for name, value in facts.items() if name in parameters}


def _short(value: Any) -> str:
    """A value for a message: a thousand class names do not fit on a line."""
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
