"""Continues a sequence of tokens with a language net, one token at a time."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn


def next_token(
    logits: Tensor, *, temperature: float, top_k: int | None, top_p: float | None, generator: torch.Generator
) -> Tensor:
    """Draw one token for each row of logits, (batch, vocab_size); returns (batch,).

    Args:
        temperature: 0 takes the most likely token; below 1 sharpens the distribution, above 1 flattens it.
        top_k: Draw from the k most likely tokens only.
        top_p: Draw from the most likely tokens that together have this share, at least one (Holtzman et al. 2020,
            arXiv:1904.09751, section 3.1).
        generator: On the CPU, so one seed gives the same text on every device.
    """
    logits = logits.float().cpu()
    if temperature == 0:
        return logits.argmax(-1)
    logits = logits / temperature
    if top_k is not None:
        lowest = logits.topk(min(top_k, logits.shape[-1])).values[..., -1:]
        logits = logits.masked_fill(logits < lowest, -torch.inf)
    if top_p is not None:
        probabilities, order = logits.softmax(-1).sort(descending=True)
        before = probabilities.cumsum(-1) - probabilities
        logits = logits.masked_fill(before.ge(top_p).gather(-1, order.argsort(-1)), -torch.inf)
    return torch.multinomial(logits.softmax(-1), 1, generator=generator).squeeze(-1)


@torch.inference_mode()
def generate(
    net: nn.Module,
    prompt: Tensor,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    banned: tuple[int, ...] = (),
) -> Iterator[int]:
    """Yield the tokens that follow a prompt, (time,), without end; the prompt is read once, then each new token.

    Args:
        net: Returns LanguageFeatures and has a `decoder`; must be in evaluation mode.
        temperature, top_k, top_p: See `next_token`.
        banned: Tokens that are never drawn, such as <unk>.

    Raises:
        ValueError: The prompt is empty, or a choice is out of range.
    """
    if temperature < 0 or (top_k is not None and top_k < 1) or (top_p is not None and not 0 < top_p <= 1):
        raise ValueError(
            f"sampling needs temperature >= 0, top_k >= 1 or null, top_p within (0, 1] or null, got {temperature=}, "
            f"{top_k=}, {top_p=}"
        )
    if not len(prompt):
        raise ValueError("a prompt must have at least one token; perhaps the model knows none of its words")
    generator = torch.Generator().manual_seed(seed)
    tokens, state = prompt.view(-1, 1), None
    while True:
        features: Any = net(tokens, state)
        state = features.state
        logits = net.decoder(features.dropped[-1])  # pyright: ignore[reportCallIssue]
        logits[:, list(banned)] = -torch.inf
        token = next_token(logits, temperature=temperature, top_k=top_k, top_p=top_p, generator=generator)
        yield int(token)
        tokens = token.view(1, 1).to(prompt.device)
