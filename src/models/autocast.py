"""What autocast computes in."""

import torch


def autocast_dtype(device_type: str) -> torch.dtype | None:
    """The dtype of matrix products on that type of device; None where autocast is off."""
    if hasattr(torch, "get_autocast_dtype"):
        return torch.get_autocast_dtype(device_type) if torch.is_autocast_enabled(device_type) else None
    # torch 2.3, which torchtext needs, has functions for each type instead.
    if device_type == "cpu":
        return torch.get_autocast_cpu_dtype() if torch.is_autocast_cpu_enabled() else None
    return torch.get_autocast_gpu_dtype() if torch.is_autocast_enabled() else None
