"""What every exported model has: a function of tensors, sample inputs, and a description of its inputs."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from src.core.domains import domain_of

# Batch and time of the inputs that a graph is made and checked with; all differ, which tells the axes apart.
ONE, SMALL, LARGE = (1, 1), (2, 4), (3, 5)


class Served(nn.Module):
    """A model as a function from tensors to tensors, without dropout, in float32."""

    names: tuple[list[str], list[str]]  # of inputs and outputs
    programs: tuple[Path, ...] = ()  # of Python, which make the inputs and lie beside the exported model

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.spec: dict[str, Any] = model.hparams["spec"]

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The outputs in the order of their names."""
        raise NotImplementedError

    def preprocessing(self) -> dict[str, Any]:
        """What a program needs to make the inputs, as plain data; described in docs/serving.md."""
        raise NotImplementedError

    def tracing(self) -> AbstractContextManager[Any]:
        """What must hold while the graph is captured; nothing, unless a domain says otherwise."""
        return nullcontext()

    def sample(self, batch: int, time: int) -> list[Tensor]:
        """Random inputs, the same in every call."""
        raise NotImplementedError

    def interface(self) -> dict[str, list[dict[str, Any]]]:
        """Name, type and shape of the inputs and outputs; `batch` and `time` stand for sizes that may vary."""
        small, large = self.sample(*SMALL), self.sample(*LARGE)
        with torch.no_grad():
            ends = zip(("inputs", "outputs"), self.names, (small, self(*small)), (large, self(*large)), strict=True)
        return {end: [_described(*tensor) for tensor in zip(*tensors, strict=True)] for end, *tensors in ends}


def _described(name: str, small: Tensor, large: Tensor) -> dict[str, Any]:
    sizes = dict(zip(zip(SMALL, LARGE, strict=True), ("batch", "time"), strict=True))
    shape = [sizes.get(pair, pair[0]) for pair in zip(small.shape, large.shape, strict=True)]
    return {"name": name, "type": str(small.dtype).removeprefix("torch."), "shape": shape}


def served_model(model: pl.LightningModule) -> Served:
    """The model in evaluation mode, in the form that can be exported.

    Raises ValueError for a model of an unknown domain.
    """
    domain = domain_of(model.hparams["spec"])
    if domain is None:
        raise ValueError(f"{type(model).__name__} belongs to no known domain: it cannot be exported")
    return domain.load(domain.served)(model).eval()


def generator() -> torch.Generator:
    """Random numbers for samples, always the same."""
    return torch.Generator().manual_seed(0)
