"""Dropout: of single values, and for recurrent nets of features and words, one mask for all steps of a window."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from src.models.autocast import autocast_dtype


def check_dropout(**rates: float) -> None:
    """Raise ValueError unless each rate, the chance of zeroing, is within [0, 1)."""
    wrong = {name: rate for name, rate in rates.items() if not 0 <= rate < 1}
    if wrong:
        raise ValueError(f"a dropout rate must be within [0, 1), got {', '.join(f'{n}={r}' for n, r in wrong.items())}")


class Dropout(nn.Module):
    """What nn.Dropout does; on a CPU, for 1,024 x 200 values, in a half to a quarter of its time."""

    def __init__(self, dropout: float) -> None:
        """Raises ValueError if the rate is not within [0, 1)."""
        super().__init__()
        check_dropout(dropout=dropout)
        self.dropout = dropout

    def forward(self, values: Tensor) -> Tensor:
        """values: of any shape."""
        if not self.training or not self.dropout:
            return values
        return drop(values, self.dropout) if values.device.type == "cpu" else F.dropout(values, self.dropout)


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


def drop(values: Tensor, dropout: float) -> Tensor:
    """A copy of `values` in which each is 0 with chance `dropout`; the rest is scaled up so that the mean stays.

    Of autocast's dtype where that is on: what comes next would cast it anyhow.
    The chance is exact to 1 / 65536.
    """
    dtype = autocast_dtype(values.device.type) or values.dtype
    share = _share(dropout)
    return keep((values / (1 - share)).to(dtype), random_mask(values, share))


def random_mask(like: Tensor, dropout: float) -> Tensor:
    """False with chance `dropout`, exact to 1 / 65536, and of the other's shape."""
    # Four values' bits from each random word: on a CPU 9 ms for 1150 x 4600 where bernoulli_ takes 125.
    words = torch.empty(-(-like.numel() // 4), dtype=torch.int64, device=like.device).random_(-(2**63), None)
    bits = words.view(torch.int16)[: like.numel()].view(like.shape)
    return bits >= round(_share(dropout) * 2**16) - 2**15


def _share(dropout: float) -> float:
    """The nearest chance that 16 bits can have."""
    return min(round(dropout * 2**16), 2**16 - 1) / 2**16


def keep(values: Tensor, mask: Tensor) -> Tensor:
    """The values where the mask is true, 0 elsewhere."""
    return _Keep.apply(values, mask)  # pyright: ignore[reportReturnType]


class _Keep(torch.autograd.Function):
    # By a bitwise and: on a CPU torch.where takes 8 times as long, and a float mask 4 times the memory until backward.
    @staticmethod
    def forward(ctx: Any, values: Tensor, mask: Tensor) -> Tensor:
        ctx.save_for_backward(mask)
        return _and(values, mask)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (mask,) = ctx.saved_tensors
        return keep(grad, mask), None


def _and(values: Tensor, mask: Tensor) -> Tensor:
    bits = {2: torch.int16, 4: torch.int32, 8: torch.int64}[values.element_size()]
    ones_or_zeros = mask.to(bits).neg_()
    return (ones_or_zeros.bitwise_and_(values.contiguous().view(bits))).view(values.dtype)


def _mask(like: Tensor, dropout: float) -> Tensor:
    """1 / (1 - dropout) where a value stays, 0 where it goes."""
    return like.bernoulli_(1 - dropout).div_(1 - dropout)
