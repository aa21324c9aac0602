"""What a run ran on: the machine, the versions and the commit, in a file beside its scores."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from src.core.errors import ROOT
from src.core.files import write_text

PACKAGES = ("torch", "pytorch-lightning", "numpy", "hydra-core")


def save_environment(path: Path, devices: int, precision: str, *, clock: Callable[[], datetime] = datetime.now) -> None:
    """Write a JSON file with the time of the start, the hardware, the precision, the software and the commit.

    Args:
        devices: how many processes train.
        precision: as the Trainer calls it.
        clock: gives the time of the start.
    """
    found: dict[str, Any] = {
        "began": f"{clock():%Y-%m-%d %H:%M}",
        "hardware": f"{cpu()}, {gpus()}{f'; {devices} processes' if devices > 1 else ''}",
        "precision": precision,
        "software": ", ".join([f"Python {platform.python_version()}", *(f"{p} {version(p)}" for p in PACKAGES)]),
        "commit": commit(ROOT),
    }
    write_text(path, json.dumps(found, indent=2) + "\n")


def cpu() -> str:
    """The processor's name and how many of its cores this process may use."""
    name = platform.processor() or platform.machine()
    if sys.platform == "linux":
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} core{'' if cores == 1 else 's'}"


def gpus() -> str:
    """The names of the GPUs that torch finds, or `no GPU`."""
    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return ", ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names)) or "no GPU"


def commit(folder: Path) -> str | None:
    """The commit checked out in a folder, and whether files differ from it; None if it is not a checkout."""
    if not (folder / ".git").exists():
        return None
    try:
        head, changes = _git(folder, "rev-parse", "HEAD"), _git(folder, "status", "--porcelain")
    except (OSError, subprocess.SubprocessError):  # git is missing or fails, or the disk is slow
        return None
    return head + (" with uncommitted changes" if changes else "")


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout.strip()
