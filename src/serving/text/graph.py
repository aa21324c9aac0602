"""What an exported language model computes."""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor

from src.core.internals import loop_over_time, lstm_as_loop
from src.datamodules.text.tokenization import LINE_END, UNKNOWN, without_torchtext
from src.models.text import qrnn_layer
from src.models.text.hidden_state import mapped
from src.serving.graphs import Served, generator


class ServedText(Served):
    """Tokens and the state after the tokens before them to the logarithm of each next token's probability."""

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
        """tokens: int64 (time, batch). The state follows, as the previous call returned it; zeros at first."""
        tokens, *state = inputs
        parts = iter(state)
        features = self.model.net(tokens, mapped(lambda _: next(parts), self.form))
        logits = self.model.net.decoder(features.dropped[-1])
        return logits.float().log_softmax(-1), *_flat(features.state)

    def sample(self, batch: int, time: int) -> list[Tensor]:
        draw = generator()
        tokens = torch.randint(self.spec["vocab_size"], (time, batch), generator=draw)
        with torch.no_grad():
            state = _flat(self.model.net(tokens).state)
        return [tokens, *(torch.randn(part.shape, generator=draw) / 2 for part in state)]

    def tracing(self) -> AbstractContextManager[None]:
        return graph_loops()

    def preprocessing(self) -> dict[str, Any]:
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


@contextmanager
def graph_loops() -> Iterator[None]:
    """Turn the loops over time of LSTM and QRNN into loops of the graph, for any number of steps."""
    before, qrnn_layer.forget_mult = qrnn_layer.forget_mult, forget_mult_in_graph
    try:
        with lstm_as_loop():
            yield
    finally:
        qrnn_layer.forget_mult = before


def forget_mult_in_graph(f: Tensor, z: Tensor, h0: Tensor, *, i: Tensor | None = None) -> Tensor:
    """What `forget_mult` computes, for torch.export."""

    def step(h: Tensor, now: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        f_t, x_t = now
        h = x_t + (1 - f_t) * h
        return h, h.clone()

    return loop_over_time(step, h0, (f, (f if i is None else i) * z))[1]
