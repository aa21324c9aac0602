"""What every language net returns."""

from typing import Any, NamedTuple

from torch import Tensor


class LanguageFeatures(NamedTuple):
    """Features from which the net's `decoder` makes logits; it is not applied, so that the loss may do it in pieces.

    dropped, raw: (time, batch, embedding_size), the last layer's output after and before dropout.  state: to be handed
    to the next window; nested tuples of tensors.
    """

    dropped: Tensor
    raw: Tensor
    state: Any
