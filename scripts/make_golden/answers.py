"""Questions to trained models, and what the models answer: the way of predict.py, on inputs of a few numbers."""

from typing import Any

import numpy as np
import pandas as pd
import torch

from scripts.make_golden.cases import GOLDEN
from src.core.domains import domain_of
from src.datamodules.tables.processing import TableProcessing
from src.datamodules.text.tokenization import encode
from src.models.text.generation import generate
from src.predict.images.ask import answers
from src.predict.tables import predict_values

NUM_TOKENS = 5


def question(model: Any) -> Any:
    """Make the inputs for a model, as plain data: images, rows of the table, or the beginning of a text."""
    spec = model.hparams["spec"]
    name = domain_of(spec).name  # pyright: ignore[reportOptionalMemberAccess]
    if name == "images":
        size = (2, *spec["image_size"], spec["in_chans"])
        return np.random.default_rng(0).integers(0, 256, size).tolist()
    if name == "tables":
        rows = pd.read_csv(GOLDEN / "data" / "rows.csv", nrows=3).to_dict(orient="list")
        return rows | {"city": ["a", "b", "new"]}
    return "the snow falls on the"


def answer(model: Any, inputs: Any) -> list[Any]:
    """Answer with probabilities, or values, of each row; for a text with the numbers of the likeliest next tokens."""
    spec = model.hparams["spec"]
    name = domain_of(spec).name  # pyright: ignore[reportOptionalMemberAccess]
    if name == "images":
        return answers(model, np.array(inputs, dtype=np.uint8), flip_tta=True).tolist()
    if name == "tables":
        rows = TableProcessing.from_state(spec["processing"]).encode(pd.DataFrame(inputs))
        return predict_values(model, *rows).tolist()
    tokens = torch.tensor(encode(inputs, spec))
    with torch.inference_mode():
        features = model(tokens.view(-1, 1))
        logits = model.net.decoder(features.dropped[-1])
    continued = generate(model.net, tokens, temperature=0)
    return [logits.log_softmax(-1)[0].tolist(), [next(continued) for _ in range(NUM_TOKENS)]]
