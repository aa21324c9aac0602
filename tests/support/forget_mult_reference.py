import torch


def forget_mult_reference(f, z, h0=None, *, i=None):
    """What `forget_mult` computes, step by step: slow, differentiable by autograd."""
    dtype = torch.promote_types(f.dtype, torch.float32)
    h = torch.zeros_like(f[0], dtype=dtype) if h0 is None else h0.to(dtype)
    inputs = (f if i is None else i).to(dtype) * z.to(dtype)
    states = []
    for kept, x in zip(1 - f.to(dtype), inputs, strict=True):
        h = x + kept * h
        states.append(h)
    return torch.stack(states).to(f.dtype)
