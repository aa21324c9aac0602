"""What an exported image classifier computes."""

from typing import Any

import torch
from torch import Tensor

from src.serving.graphs import Served, generator


class ServedImages(Served):
    """Pixels to the probabilities of the classes; scaling and normalisation are inside."""

    names = (["images"], ["probabilities"])

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """images: uint8 (batch, height, width, channels)."""
        (images,) = inputs
        return (self.model(images.permute(0, 3, 1, 2)).float().softmax(1),)

    def sample(self, batch: int, time: int) -> list[Tensor]:
        shape = (batch, *self.spec["image_size"], self.spec["in_chans"])
        return [torch.randint(256, shape, dtype=torch.uint8, generator=generator())]

    def preprocessing(self) -> dict[str, Any]:
        statistics = {name: getattr(self.model, name).flatten().tolist() for name in ("mean", "std")}
        sizes = {"image_size": self.spec["image_size"], "channels": self.spec["in_chans"]}
        sizes |= {"resize": self.spec.get("resize", "crop")}
        return {"kind": "images", "class_names": self.spec["class_names"], **sizes, **statistics}
