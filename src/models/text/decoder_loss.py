"""The loss of features through a net's decoder, linear or adaptive."""

from typing import Any

import torch
from torch import Tensor

from src.models.text.adaptive_decoder import AdaptiveDecoder
from src.models.text.token_loss import IGNORED, token_loss, token_losses


def decoder_loss(decoder: Any, features: Tensor, targets: Tensor, **choices: Any) -> Tensor:
    """Return the mean loss of the targets that are not -100.

    Args:
        decoder: An AdaptiveDecoder, or a linear map with `weight` and `bias`.
        features: (time, batch, size).
        targets: (time, batch).
        **choices: For a linear decoder: chunk_size and dtype, see `token_loss`.
    """
    if not isinstance(decoder, AdaptiveDecoder):
        return token_loss(features, targets, decoder.weight, decoder.bias, **choices)
    return _adaptive_losses(decoder, features, targets).sum() / (targets != IGNORED).sum().clamp(min=1)


@torch.no_grad()
def decoder_losses(decoder: Any, features: Tensor, targets: Tensor, **choices: Any) -> Tensor:
    """Return the loss of each target, (time, batch), without gradient; 0 where a target is -100."""
    if not isinstance(decoder, AdaptiveDecoder):
        return token_losses(features, targets, decoder.weight, decoder.bias, **choices)
    return _adaptive_losses(decoder, features, targets)


def _adaptive_losses(decoder: AdaptiveDecoder, features: Tensor, targets: Tensor) -> Tensor:
    kept = targets != IGNORED
    losses = -decoder.of_targets(features[kept], targets[kept])
    return losses.new_zeros(targets.shape).masked_scatter(kept, losses)
