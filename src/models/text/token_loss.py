"""Cross-entropy of features through a linear decoder, in chunks: the logits of a whole window never exist at once."""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

IGNORED = -100  # torch's mark for a target that does not count
# A smaller probability may have lost digits or be zero: its logarithm is computed from the logits instead.
MIN_PROBABILITY = 1e-30
WORDS_AT_A_TIME = 4096  # in the gradients of the weight


def token_loss(
    features: Tensor,
    targets: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    chunk_size: int,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Return the mean of F.cross_entropy(F.linear(features, weight, bias), targets) over targets that are not -100.

    The gradients are computed together with the loss, so nothing is recomputed; they cannot be differentiated again.

    Args:
        features: (..., size).
        targets: int64 (...).
        weight: (vocab_size, size).
        bias: (vocab_size,).
        chunk_size: Number of tokens whose logits exist at one time.
        dtype: What the projection multiplies in: bfloat16, float32 or float64. None takes autocast's bfloat16,
            otherwise the features' dtype. Sums are at least in float32.

    Raises:
        ValueError: The shapes of features, targets and weight do not fit together.
    """
    dtype = _check(features, targets, weight, chunk_size, dtype)
    rows, flat = features.flatten(0, -2), targets.flatten()
    if torch.is_grad_enabled():
        total: Any = _SummedLoss.apply(rows, weight, bias, flat, chunk_size, dtype)
    else:
        total = token_losses(rows, flat, weight, bias, chunk_size=chunk_size, dtype=dtype).sum()
    return total / (flat != IGNORED).sum().clamp(min=1)


@torch.no_grad()
def token_losses(
    features: Tensor,
    targets: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    chunk_size: int,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Return the loss of each target, in the targets' shape and without gradient; 0 where a target is -100.

    Arguments and errors are those of `token_loss`.
    """
    dtype = _check(features, targets, weight, chunk_size, dtype)
    losses = targets.new_zeros(targets.numel(), dtype=_exact(dtype))
    pieces = _pieces(chunk_size, features.flatten(0, -2), targets.flatten(), losses)
    with torch.autocast(features.device.type, enabled=False):
        weight, bias = weight.to(dtype), None if bias is None else bias.to(dtype)
        for rows, target, out in pieces:
            logits = F.linear(rows.to(dtype), weight, bias).to(out.dtype)
            out.copy_(F.cross_entropy(logits, target, reduction="none", ignore_index=IGNORED))
    return losses.view(targets.shape)


class _SummedLoss(torch.autograd.Function):
    """The sum of the losses of all rows. It saves finished gradients instead of logits; backward only scales them."""

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, chunk_size: int, dtype: Any
    ) -> Tensor:
        inputs: Any = (features, weight, bias)
        ctx.dtypes = [None if x is None else x.dtype for x in inputs]
        wanted = zip(inputs, ctx.needs_input_grad[:3], strict=True)
        gradients = [torch.empty_like(x, dtype=_exact(dtype)) if needed else None for x, needed in wanted]
        probabilities = targets.new_empty(len(targets), dtype=_exact(dtype))
        with torch.autocast(features.device.type, enabled=False):
            _fill(probabilities, gradients, features, weight, bias, targets, chunk_size, dtype)
        losses = -probabilities.log()
        far = probabilities < MIN_PROBABILITY
        if far.any():
            losses[far] = token_losses(features[far], targets[far], weight, bias, chunk_size=chunk_size, dtype=dtype)
        ctx.save_for_backward(*gradients)
        return losses.where(targets != IGNORED, 0).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        pairs = zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        return *(None if kept is None else (kept * grad).to(dtype) for kept, dtype in pairs), None, None, None


def _fill(
    probabilities: Tensor,
    gradients: list[Tensor | None],
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    chunk_size: int,
    dtype: torch.dtype,
) -> None:
    """Write the targets' probabilities, and the gradients of features, weight and bias that are not None.

    One long function: nearly all memory is its one chunk of logits, nearly all time its three products and softmax.
    """
    of_features, of_weight, of_bias = gradients
    weight, bias = weight.to(dtype), None if bias is None else bias.to(dtype)
    chunk = features.new_empty(min(chunk_size, len(features)), len(weight), dtype=dtype)
    kept = targets != IGNORED
    columns = targets.where(kept, 0)
    pieces = _pieces(chunk_size, features, kept[:, None].to(dtype), columns, probabilities, of_features)
    for number, (rows, mask, column, out, of_rows) in enumerate(pieces):
        rows = rows.to(dtype)
        logits = torch.mm(rows, weight.t(), out=chunk[: len(rows)])
        if bias is not None:
            logits.add_(bias)  # faster on a CPU than addmm, which first copies the bias to each row
        softmax = torch.softmax(logits, 1, out=logits)
        places = torch.arange(len(rows), device=rows.device), column
        out.copy_(softmax[places])
        # `softmax` now becomes the gradient of the logits. scatter_ would take 40 ms in bfloat16 on a CPU.
        softmax[places] -= 1
        if of_rows is not None:
            of_rows.copy_(softmax @ weight).mul_(mask)
        if of_bias is not None:
            _accumulate(of_bias, (mask.t() @ softmax).squeeze(0), number)
        if of_weight is not None:
            rows = rows * mask
            # Some words at a time: adding a product that is still in the CPU's caches is four times as fast.
            for words, total in zip(softmax.split(WORDS_AT_A_TIME, 1), of_weight.split(WORDS_AT_A_TIME), strict=True):
                _accumulate(total, words.t() @ rows, number)


def _accumulate(total: Tensor, part: Tensor, number: int) -> None:
    if number:
        total.add_(part)
    else:
        total.copy_(part)


def _pieces(size: int, *tensors: Tensor | None) -> Iterator[tuple[Any, ...]]:
    """Yield views of the same rows of all tensors, `size` rows at a time; None stays None."""
    first = tensors[0]
    assert first is not None
    for start in range(0, len(first), size):
        yield tuple(None if tensor is None else tensor[start : start + size] for tensor in tensors)


def _exact(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _projection_dtype(features: Tensor) -> torch.dtype:
    """Return the dtype of a matrix product of the features, under autocast or not."""
    corner = features.detach().flatten(0, -2)[:1, :1]
    return torch.mm(corner, corner).dtype


def _check(
    features: Tensor, targets: Tensor, weight: Tensor, chunk_size: int, dtype: torch.dtype | None
) -> torch.dtype:
    if features.shape[:-1] != targets.shape or features.shape[-1] != weight.shape[1]:
        raise ValueError(
            "features must be (..., size), targets (...) and weight (vocab_size, size), "
            f"got {tuple(features.shape)}, {tuple(targets.shape)} and {tuple(weight.shape)}"
        )
    if chunk_size < 1:
        raise ValueError(f"chunk_size must be positive, got {chunk_size}")
    dtype = dtype or _projection_dtype(features)
    # float16 cannot hold the small probabilities in the gradients.
    return torch.float32 if dtype == torch.float16 else dtype
