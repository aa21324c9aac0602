"""What a run ran on: the machine, the versions and the commit, kept in a file beside its scores."""

import json
import os
import platform
import subprocess
import sys
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from src.core.errors import ROOT

PACKAGES = ("torch", "pytorch-lightning", "numpy", "hydra-core")


def environment(devices: int, precision: str) -> dict[str, Any]:
    """Plain data: when it began, `hardware` and `software` in words, and the `commit` of the checkout if it is one.

    devices: how many processes train.  precision: as the Trainer calls it.
    """
    return {
        "began": f"{datetime.now():%Y-%m-%d %H:%M}",
        "hardware": f"{cpu()}, {gpus()}{f'; {devices} processes' if devices > 1 else ''}",
        "precision": precision,
        "software": ", ".join([f"Python {platform.python_version()}", *(f"{p} {version(p)}" for p in PACKAGES)]),
        "commit": commit(ROOT),
    }


def cpu() -> str:
    """The processor's name and how many of its cores this process may use."""
    name = platform.processor() or platform.machine()
    if sys.platform == "linux":
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), name)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name}, {cores} core{'' if cores == 1 else 's'}"


def gpus() -> str:
    """The names of the GPUs that torch finds, or that there is none."""
    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return ", ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names)) or "no GPU"


def commit(folder: Path) -> str | None:
    """The commit that is checked out in a folder, and whether files differ from it; None if it is no checkout."""
    if not (folder / ".git").exists():
        return None
    git = ["git", "-C", str(folder)]
    try:
        found = subprocess.run([*git, "rev-parse", "HEAD"], check=False, capture_output=True, text=True, timeout=10)
        changes = subprocess.run(
            [*git, "status", "--porcelain"], check=False, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):  # no git here, or a slow disk
        return None
    if found.returncode or changes.returncode:
        return None
    return found.stdout.strip() + (" with changes that are not committed" if changes.stdout.strip() else "")


def save_environment(path: Path, devices: int, precision: str) -> None:
    """Write `environment` to a file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_suffix(".tmp")
    staged.write_text(json.dumps(environment(devices, precision), indent=2) + "\n")
    os.replace(staged, path)
