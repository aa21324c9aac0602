"""What an exported model computes, and what its inputs are made from: for pictures, tables and text."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from src.datamodules.table_dates import CATEGORY_PARTS, CONTINUOUS_PARTS, part_name
from src.datamodules.tokenization import LINE_END, UNKNOWN, without_torchtext
from src.models.language_model import mapped
from src.models.nets import qrnn_layer

# Batch and time of the inputs that a graph is made and checked with. All differ: so axes are told apart.
ONE, SMALL, LARGE = (1, 1), (2, 4), (3, 5)


class Served(nn.Module):
    """A model as a function from tensors to tensors, without dropout, in float32."""

    names: tuple[list[str], list[str]]  # of inputs and outputs

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.spec: dict[str, Any] = model.hparams["spec"]

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The outputs, in the order of their names."""
        raise NotImplementedError

    def facts(self) -> dict[str, Any]:
        """What preprocessing needs, as plain data; described in docs/serving.md."""
        raise NotImplementedError

    def sample(self, batch: int, time: int) -> list[Tensor]:
        """Random inputs, always the same."""
        raise NotImplementedError

    def interface(self) -> dict[str, list[dict[str, Any]]]:
        """Name, type and shape of the inputs and outputs; `batch` and `time` stand for what may be any number."""
        small, large = self.sample(*SMALL), self.sample(*LARGE)
        with torch.no_grad():
            ends = zip(("inputs", "outputs"), self.names, (small, self(*small)), (large, self(*large)), strict=True)
        return {end: [_described(*tensor) for tensor in zip(*tensors, strict=True)] for end, *tensors in ends}


def _described(name: str, small: Tensor, large: Tensor) -> dict[str, Any]:
    sizes = dict(zip(zip(SMALL, LARGE, strict=True), ("batch", "time"), strict=True))
    shape = [sizes.get(pair, pair[0]) for pair in zip(small.shape, large.shape, strict=True)]
    return {"name": name, "type": str(small.dtype).removeprefix("torch."), "shape": shape}


def served_model(model: pl.LightningModule) -> Served:
    """The model, in evaluation mode, as what can be exported. Raises ValueError for a model of another kind."""
    spec: dict[str, Any] = model.hparams["spec"]
    for fact, kind in {"image_size": ServedPictures, "processing": ServedTable, "vocabulary": ServedText}.items():
        if spec.get(fact):
            return kind(model).eval()
    raise ValueError(f"{type(model).__name__} is no model of pictures, of a table or of text: it cannot be exported")


class ServedPictures(Served):
    """Pixels to the probabilities of the classes; scaling and normalisation are inside."""

    names = (["pictures"], ["probabilities"])

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """pictures: uint8 (batch, height, width, channels)."""
        (pictures,) = inputs
        return (self.model(pictures.permute(0, 3, 1, 2)).float().softmax(1),)

    def sample(self, batch: int, time: int) -> list[Tensor]:
        shape = (batch, *self.spec["image_size"], self.spec["in_chans"])
        return [torch.randint(256, shape, dtype=torch.uint8, generator=_generator())]

    def facts(self) -> dict[str, Any]:
        statistics = {name: getattr(self.model, name).flatten().tolist() for name in ("mean", "std")}
        sizes = {"image_size": self.spec["image_size"], "channels": self.spec["in_chans"]}
        return {"kind": "pictures", "class_names": self.spec["class_names"], **sizes, **statistics}


class ServedTable(Served):
    """Codes and scaled numbers to probabilities, or to values in the targets' units."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.names = (["categories", "continuous"], ["values" if model.is_regression else "probabilities"])

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """categories: int64 (batch, columns).  continuous: float32 (batch, columns)."""
        return (self.model.predict(*inputs),)

    def sample(self, batch: int, time: int) -> list[Tensor]:
        generator, sizes = _generator(), self.spec["category_sizes"]
        codes = [torch.randint(size, (batch,), generator=generator) for size in sizes]
        categories = torch.stack(codes, 1) if codes else torch.empty(batch, 0, dtype=torch.int64)
        return [categories, torch.randn(batch, self.spec["num_continuous"], generator=generator)]

    def facts(self) -> dict[str, Any]:
        state: dict[str, Any] = self.spec["processing"]
        choices = state["choices"]
        columns = [*choices["categorical"], *choices["continuous"]]
        sources = {name: {"column": name, "date_part": None} for name in columns}
        for column in choices["dates"]:
            for part in CATEGORY_PARTS | CONTINUOUS_PARTS:
                sources[part_name(column, part)] = {"column": column, "date_part": part}
        return {
            "kind": "table",
            "task": choices["task"],
            "target": choices["target"],
            "class_names": state["target"].get("class_names", []),
            "target_scaling": state["target"] if self.model.is_regression else None,
            "text_columns": state["text_columns"],
            "date_format": choices["date_format"],
            "categories": [sources[name] | {"values": values} for name, values in state["categories"].items()],
            "continuous": [sources[name] | fitted for name, fitted in state["continuous"].items()],
        }


class ServedText(Served):
    """Tokens, and the state that those before them left, to the logarithm of each next token's probability."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        with torch.no_grad():
            self.form = model.net(torch.zeros(1, 1, dtype=torch.int64)).state  # nested tuples
        numbers = range(len(_flat(self.form)))
        self.names = (
            ["tokens", *(f"state_{number}" for number in numbers)],
            ["log_probabilities", *(f"next_state_{number}" for number in numbers)],
        )

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """tokens: int64 (time, batch).  Then the state, as the call before returned it; zeros at first."""
        tokens, *state = inputs
        parts = iter(state)
        features = self.model.net(tokens, mapped(lambda _: next(parts), self.form))
        logits = self.model.net.decoder(features.dropped[-1])
        return logits.float().log_softmax(-1), *_flat(features.state)

    def sample(self, batch: int, time: int) -> list[Tensor]:
        generator = _generator()
        tokens = torch.randint(self.spec["vocab_size"], (time, batch), generator=generator)
        with torch.no_grad():
            state = _flat(self.model.net(tokens).state)
        return [tokens, *(torch.randn(part.shape, generator=generator) / 2 for part in state)]

    def facts(self) -> dict[str, Any]:
        spec = without_torchtext(self.spec)
        tokenizer, vocabulary = spec["tokenizer"], spec["vocabulary"]
        marks = {name: token if token in vocabulary else None for name, token in MARKS.items()}
        model = json.loads(tokenizer["model"]) if "model" in tokenizer else None
        return {"kind": "text", "tokenizer": tokenizer["name"], "bpe": model, **marks, "vocabulary": vocabulary}


MARKS = {"unknown": UNKNOWN, "line_end": LINE_END}


def _flat(state: Any) -> list[Tensor]:
    found: list[Tensor] = []
    mapped(lambda tensor: found.append(tensor) or tensor, state)
    return found


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@contextmanager
def graph_loops() -> Iterator[None]:
    """Within, loops over time become loops of the graph, for any number of steps: those of an LSTM and of a QRNN."""
    from torch.export._patches import register_lstm_while_loop_decomposition

    before, qrnn_layer.forget_mult = qrnn_layer.forget_mult, forget_mult_in_graph
    try:
        with register_lstm_while_loop_decomposition():
            yield
    finally:
        qrnn_layer.forget_mult = before


def forget_mult_in_graph(f: Tensor, z: Tensor, h0: Tensor, *, i: Tensor | None = None) -> Tensor:
    """What `forget_mult` computes, for torch.export."""
    from torch._higher_order_ops import scan

    def step(h: Tensor, now: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        f_t, x_t = now
        h = x_t + (1 - f_t) * h
        return h, h.clone()

    return scan(step, h0, (f, (f if i is None else i) * z))[1]
