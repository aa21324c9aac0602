"""Dropout for recurrent nets: one mask for all steps of a window."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def check_dropout(**rates: float) -> None:
    """Raise ValueError unless each rate, the chance of zeroing, is within [0, 1)."""
    wrong = {name: rate for name, rate in rates.items() if not 0 <= rate < 1}
    if wrong:
        raise ValueError(f"a dropout rate must be within [0, 1), got {', '.join(f'{n}={r}' for n, r in wrong.items())}")


class LockedDropout(nn.Module):
    """Zeroes features of a sequence, the same ones at every time step; the rest is scaled up.

    Source: Gal and Ghahramani 2016, arXiv:1512.05287, section 4 (variational dropout); Merity et al. 2017, 4.2.
    """

    def __init__(self, dropout: float) -> None:
        """Raises ValueError if the rate is not within [0, 1)."""
        super().__init__()
        check_dropout(dropout=dropout)
        self.dropout = dropout

    def forward(self, features: Tensor) -> Tensor:
        """features: (time, batch, size)."""
        if not self.training or not self.dropout:
            return features
        return features * _mask(features.new_empty(1, *features.shape[1:]), self.dropout)


class DroppedEmbedding(nn.Module):
    """An embedding that forgets whole words: each word of the vocabulary, wherever it stands in the window.

    Source: Gal and Ghahramani 2016, arXiv:1512.05287, section 4.1; Merity et al. 2017, arXiv:1708.02182, section 4.3.
    """

    def __init__(self, vocab_size: int, embedding_size: int, *, dropout: float) -> None:
        """Raises ValueError if the rate is not within [0, 1)."""
        super().__init__()
        check_dropout(dropout=dropout)
        self.dropout = dropout
        self.weight = nn.Parameter(torch.empty(vocab_size, embedding_size).uniform_(-0.1, 0.1))

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens: (time, batch), int64.  Returns (time, batch, embedding_size)."""
        embedded = F.embedding(tokens, self.weight)
        if not self.training or not self.dropout:
            return embedded
        # Masking the looked-up rows spares a copy of the whole table.
        mask = _mask(self.weight.new_empty(len(self.weight), 1), self.dropout)
        return embedded * mask[tokens]


def drop_weights(weight: Tensor, dropout: float) -> Tensor:
    """A copy of `weight` in which each value is 0 with chance `dropout`; the rest is scaled up so that the mean stays.

    The chance is exact to 1 / 65536.
    """
    # Four masks' worth of bits from each random word: on a CPU 9 ms for 1150 hidden units where bernoulli_ takes 125.
    # A float mask: multiplying by a boolean one takes 20 times longer.
    num_dropped = min(round(dropout * 2**16), 2**16 - 1)
    words = torch.empty(-(-weight.numel() // 4), dtype=torch.int64, device=weight.device).random_(-(2**63), None)
    bits = words.view(torch.int16)[: weight.numel()].view(weight.shape)
    mask = (bits >= num_dropped - 2**15).to(weight.dtype)
    return weight * mask.mul_(2**16 / (2**16 - num_dropped))


def _mask(like: Tensor, dropout: float) -> Tensor:
    """1 / (1 - dropout) where a value stays, 0 where it goes."""
    return like.bernoulli_(1 - dropout).div_(1 - dropout)
