"""predict.py for text: continues a prompt, and shows each token as it is drawn."""

import time
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from src.core.errors import ConfigError
from src.core.output import note, show

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule

# What decoding gives for the first bytes of a character: it waits for the bytes that follow.
UNFINISHED = "\N{REPLACEMENT CHARACTER}"


def check(config: Mapping[str, Any]) -> None:
    """Raise ConfigError if length is not positive."""
    if config["length"] < 1:
        raise ConfigError(f"length must be positive, got {config['length']}")


def predict(
    models: "Sequence[LightningModule]",
    *,
    prompt: str,
    length: int,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
    seed: int,
) -> int:
    """Show the prompt and `length` tokens that follow it; their speed goes to stderr.

    Returns:
        The exit status, 0.

    Raises:
        ConfigError: if there are several models.
        ValueError: if a choice is out of range.
    """
    if len(models) > 1:
        raise ConfigError("a prompt is continued by one language model: give one checkpoint")
    import torch

    from src.datamodules.text.tokenization import UNKNOWN, decode, encode
    from src.models.text.generation import generate

    [model] = models
    spec = model.hparams["spec"]
    tokens = encode(prompt, spec)
    banned = tuple(number for number, token in enumerate(spec["vocabulary"]) if token == UNKNOWN)
    sampling: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
    net: Any = model.net
    continued = generate(net, torch.tensor(tokens, device=model.device), banned=banned, **sampling)
    shown, started = decode(tokens, spec).rstrip(UNFINISHED), time.perf_counter()
    show(shown, end="")
    for token in islice(continued, length):
        tokens.append(token)
        text = decode(tokens, spec).rstrip(UNFINISHED)
        show(text[len(shown) :], end="")
        shown = text
    seconds = time.perf_counter() - started
    show(decode(tokens, spec)[len(shown) :])
    note(f"{length} tokens, {length / seconds:,.0f} tokens/s")
    return 0
