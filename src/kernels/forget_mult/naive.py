"""What `forget_mult` computes, in the plainest form: the specification of all other forms, slow but easy to read."""

import torch
from torch import Tensor


def forget_mult(f: Tensor, z: Tensor, h0: Tensor | None = None, *, i: Tensor | None = None) -> Tensor:
    """See `src.kernels.forget_mult`; autograd makes the gradients, which can be differentiated again."""
    wide = torch.promote_types(f.dtype, torch.float32)
    h = torch.zeros_like(f[0], dtype=wide) if h0 is None else h0.to(wide)
    inputs = (f if i is None else i).to(wide) * z.to(wide)
    states = []
    for kept, x in zip(1 - f.to(wide), inputs, strict=True):
        h = x + kept * h
        states.append(h)
    return torch.stack(states).to(f.dtype)
