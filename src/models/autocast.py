"""The precision of autocast."""

import torch


def autocast_dtype(device_type: str) -> torch.dtype | None:
    """Return the dtype that autocast multiplies matrices in; None where it is off."""
    if hasattr(torch, "get_autocast_dtype"):
        return torch.get_autocast_dtype(device_type) if torch.is_autocast_enabled(device_type) else None
    # torch 2.3, which torchtext needs, has one function per type of device.
    if device_type == "cpu":
        return torch.get_autocast_cpu_dtype() if torch.is_autocast_cpu_enabled() else None
    return torch.get_autocast_gpu_dtype() if torch.is_autocast_enabled() else None
