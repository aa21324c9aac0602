"""What an exported image model computes."""

from typing import Any

import torch
from torch import Tensor

from src.serving.graphs import Served, generator


class ServedImages(Served):
    """Pixels to probabilities of classes or labels, or to values in the targets' units; normalisation is inside."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.task = self.spec.get("task", "classification")
        self.names = (["images"], ["values" if self.task == "regression" else "probabilities"])

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """images: uint8 (batch, height, width, channels)."""
        (images,) = inputs
        return (self.model.predict(images.permute(0, 3, 1, 2)),)

    def sample(self, batch: int, time: int) -> list[Tensor]:
        shape = (batch, *self.spec["image_size"], self.spec["in_chans"])
        return [torch.randint(256, shape, dtype=torch.uint8, generator=generator())]

    def preprocessing(self) -> dict[str, Any]:
        statistics = {name: getattr(self.model, name).flatten().tolist() for name in ("mean", "std")}
        sizes = {"image_size": self.spec["image_size"], "channels": self.spec["in_chans"]}
        sizes |= {"resize": self.spec.get("resize", "crop")}
        facts = {"kind": "images", "task": self.task, "class_names": self.spec["class_names"]}
        if self.task == "multilabel":
            facts["thresholds"] = self.model.task.thresholds
        return {**facts, **sizes, **statistics}
