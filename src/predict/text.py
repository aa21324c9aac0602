"""predict.py for text: continues a prompt, and shows it as it comes."""

import sys
import time
from itertools import islice
from typing import TYPE_CHECKING, Any

from src.core.errors import ConfigError

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule


def predict_text(model: "LightningModule", prompt: str, length: int, **sampling: Any) -> None:
    """Print the prompt and `length` tokens that follow it, as they are drawn, and their speed on stderr.

    sampling: temperature, top_k, top_p, seed (src/models/text/generation.py).
    Raises ConfigError if the model is no language model, ValueError if a choice is out of range.
    """
    import torch

    spec = model.hparams["spec"]
    if "vocabulary" not in spec:
        raise ConfigError("the checkpoint is no language model: it has no vocabulary")
    from src.datamodules.text.tokenization import UNKNOWN, decode, encode
    from src.models.text.generation import generate

    tokens = encode(prompt, spec)
    banned = tuple(number for number, token in enumerate(spec["vocabulary"]) if token == UNKNOWN)
    net: Any = model.net
    continued = generate(net, torch.tensor(tokens, device=model.device), banned=banned, **sampling)
    shown, started = decode(tokens, spec), time.perf_counter()
    print(shown, end="", flush=True)
    for token in islice(continued, length):
        tokens.append(token)
        text = decode(tokens, spec)
        print(text[len(shown) :], end="", flush=True)
        shown = text
    seconds = time.perf_counter() - started
    print()
    sys.stderr.write(f"{length} tokens, {length / seconds:,.0f} tokens/s\n")
