"""Any net of the package timm, with its pretrained weights, its own normalisation and its layers in groups."""

import importlib
import importlib.util
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from src.core.output import note
from src.models.layer_groups import load_body


class TimmNet(nn.Module):
    """A net of timm by name; a training that begins without a checkpoint loads its pretrained weights.

    Args:
        model_name: As timm lists it, such as resnet18 or vit_tiny_patch16_224.
        pretrained: Whether to start from pretrained weights, and to normalise images as these need it.
        weights_file: A local file of these weights, of torch or safetensors; None has timm download them.
        **options: Further arguments of timm.create_model, such as drop_rate.
    """

    def __init__(
        self,
        in_chans: int,
        num_classes: int,
        image_size: list[int],
        *,
        model_name: str,
        pretrained: bool,
        weights_file: str | None,
        **options: Any,
    ) -> None:
        super().__init__()
        if weights_file is not None and not pretrained:
            raise ValueError(f"weights_file is read with pretrained=true only, got {weights_file=}, {pretrained=}")
        self.choices = {"model_name": model_name, "in_chans": in_chans, "num_classes": num_classes, **options}
        self.image_size = image_size
        self.weights_file = weights_file
        self.net: Any = self._created(pretrained=False)
        self.normalisation = normalisation_of(self.net.pretrained_cfg, in_chans) if pretrained else None

    def _created(self, **more: Any) -> nn.Module:
        if importlib.util.find_spec("timm") is None:
            raise ModuleNotFoundError("model/net=timm needs the package timm: pip install timm")
        return importlib.import_module("timm").create_model(**self.choices, **more)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, (batch, num_classes), of images, (batch, in_chans, height, width)."""
        return self.net(images)

    def layer_groups(self) -> list[list[nn.Module]]:
        """Return the first half of the net's blocks, the second half, the classifier."""
        head = self.net.get_classifier()
        heads = list(head) if isinstance(head, tuple) else [head]  # two in distilled nets
        blocks, loose = list(_blocks(self.net, heads)), list(_loose_parameters(self.net, heads))
        half = len(blocks) // 2
        # Tokens and position embeddings belong to the net itself, and to its input.
        early = [nn.ParameterList(loose), *blocks[:half]] if loose else blocks[:half]
        return [group for group in (early, blocks[half:], heads) if group]

    def load_pretrained(self) -> None:
        """Take all weights but the classifier's from the pretrained net, if this is to be one."""
        if self.normalisation is None:
            return
        overlay = {} if self.weights_file is None else {"pretrained_cfg_overlay": {"file": self.weights_file}}
        pretrained = self._created(pretrained=True, **overlay)
        load_body(self, {f"net.{name}": value for name, value in pretrained.state_dict().items()}, "timm")
        side = self.net.pretrained_cfg["input_size"][-1]
        if side not in self.image_size:
            note(
                f"{self.choices['model_name']} was trained on images of {side} pixels, here are {self.image_size}: "
                f"datamodule.image_size={side} suits it"
            )


def normalisation_of(pretrained_cfg: dict[str, Any], in_chans: int) -> dict[str, list[float]]:
    """Return mean and std of each channel for the weights of a pretrained_cfg; other than 3 channels get the mean."""
    found = {name: [float(value) for value in pretrained_cfg[name]] for name in ("mean", "std")}
    return found if in_chans == 3 else {name: [sum(values) / len(values)] * in_chans for name, values in found.items()}


def _is_opened(module: nn.Module, heads: list[nn.Module]) -> bool:
    """Whether a module is taken as its parts: a list of blocks, or one that holds the classifier beside others."""
    inside = {id(part) for part in module.modules()} - {id(module)}
    return type(module) in (nn.Sequential, nn.ModuleList) or any(id(head) in inside for head in heads)


def _blocks(module: nn.Module, heads: list[nn.Module]) -> Iterator[nn.Module]:
    """Yield the parts of a net that hold parameters, from input to output, without its classifier."""
    for child in module.children():
        if any(child is head for head in heads) or not any(True for _ in child.parameters()):
            continue
        if _is_opened(child, heads):
            yield from _blocks(child, heads)
        else:
            yield child


def _loose_parameters(module: nn.Module, heads: list[nn.Module]) -> Iterator[nn.Parameter]:
    """Yield the parameters that the net itself and the opened parts hold outside of any block."""
    yield from module.parameters(recurse=False)
    for child in module.children():
        if not any(child is head for head in heads) and _is_opened(child, heads):
            yield from _loose_parameters(child, heads)
