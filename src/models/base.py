"""What all models share: building the net from the data's facts, layer groups, optimizer, schedule, checkpoints."""

import inspect
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from src.models.layer_groups import layer_groups, norm_parameters


class BaseModel(pl.LightningModule):
    """A LightningModule whose net is built once the data's facts (`spec`) are known.

    net: called with the facts that it names.  optimizer: called with parameter groups and lr.  scheduler: called with
    the optimizer and, if it names it, total_steps.
    lr: the schedule's peak for the last layer group.  lr_ratio: the first group's lr over the last's.

    hparams holds plain data only: `model`, the config it was made from, and `spec`. So a checkpoint loads with
    weights_only and predicts without the training data (see src/checkpoint.py).
    """

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

    def build(self, spec: dict[str, Any]) -> None:
        """Make `self.net`, and whatever else depends on the data, from its facts."""
        raise NotImplementedError

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
        facts = {"total_steps": int(self.trainer.estimated_stepping_batches)}
        scheduler = self.make_scheduler(optimizer, **named_arguments(self.make_scheduler, facts))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

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

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        saved = checkpoint.get("hyper_parameters", {}).get("spec")
        here = self.hparams.get("spec")
        if saved is None or here is None:
            return
        differing = [key for key in sorted({*saved, *here}) if saved.get(key) != here.get(key)]
        if differing:
            pairs = "; ".join(f"{key}: {saved.get(key)} there, {here.get(key)} here" for key in differing)
            raise ValueError(
                f"the checkpoint was trained on other data ({pairs}); choose the datamodule it was made with"
            )
        self._check_weights(checkpoint["state_dict"])

    def _check_weights(self, saved: dict[str, Any]) -> None:
        own = self.state_dict()
        wrong = [name for name in own if name not in saved or own[name].shape != saved[name].shape]
        wrong += [name for name in saved if name not in own]
        if wrong:
            raise ValueError(
                f"the checkpoint holds another net: {len(wrong)} of {len(own)} weights differ, such as {wrong[0]}; "
                "choose the model that it was made with"
            )


def named_arguments(function: Callable[..., Any], facts: dict[str, Any]) -> dict[str, Any]:
    """Those of the facts that a callable names as arguments; a callable with **kwargs gets them all."""
    parameters = inspect.signature(function).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return facts
    return {name: value for name, value in facts.items() if name in parameters}
