"""How much memory a process or its GPU uses at most."""

import ctypes
import gc
import resource
import sys
from contextlib import suppress
from pathlib import Path

import torch
from pytorch_lightning.utilities.memory import is_oom_error

STATUS = Path("/proc/self/status")


def peak_of_run_mb() -> float:
    """The peak since the process started: of tensors on the GPU if there are any, else of the process."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10  # bytes on macOS, KiB elsewhere


def restart_peak(device: torch.device) -> None:
    """Return free memory to the system and start `peak_since_restart_mb` again."""
    gc.collect(1)  # what training steps leave behind is young; a full collection takes 0.1 s
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    elif sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "malloc_trim"):
            libc.malloc_trim(0)
        # proc(5): 5 resets the peak to the current size. A container may forbid it; then the peak never falls.
        with suppress(PermissionError):
            Path("/proc/self/clear_refs").write_text("5")


def peak_since_restart_mb(device: torch.device) -> float:
    """The peak since `restart_peak`: of tensors on a GPU, else of the whole process.

    Only Linux can reset the peak of a process. Elsewhere this is the peak since the process started.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    if not STATUS.is_file():
        return peak_of_run_mb()
    [line] = [line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 2**10


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that a GPU or the CPU has no memory left."""
    return isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or is_oom_error(error)
