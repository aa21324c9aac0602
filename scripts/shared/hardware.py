"""The machine that a number was measured on."""

import os
import platform


def hardware() -> dict[str, str]:
    """Name the GPUs, or the CPU with its cores, and the version of torch."""
    import torch  # a process that measures the memory of others calls this in a process of its own

    cpu = torch.cpu.get_capabilities().get("cpu_name") or platform.processor()
    device = f"{cpu}, {os.cpu_count()} cores"
    if torch.cuda.is_available():
        device = f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}"
    return {"hardware": device, "torch": str(torch.__version__)}
