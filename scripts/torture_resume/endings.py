"""What runs leave behind, and where two of them differ."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

# Parts of the names of what no two runs measure alike.
MEASURED = ("fit_s", "train_s", "step_s", "seconds", "time/", "memory", "_per_second")


def ending(folder: Path) -> dict[str, Any]:
    """Read all that two runs of a case must leave alike."""
    found: dict[str, Any] = {}
    for name in ("last", "best"):
        found[name] = torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)
    for path in (folder / "metrics.csv", *folder.glob("*finder*.csv")):
        with path.open(newline="") as file:
            found[path.name] = list(csv.DictReader(file))
    found |= {path.name: path.read_text() for path in folder.glob("samples.txt")}
    found["metrics.json"] = json.loads((folder / "metrics.json").read_text())
    records = [path.name.split("-")[3] for path in folder.glob("wandb/offline-run-*")]
    found["W&B run ids"] = len(set(records))
    return without_paths(found, str(folder))


def without_paths(value: Any, folder: str) -> Any:
    """Cut the folder out of all texts, and drop what is measured in seconds or megabytes."""
    if isinstance(value, dict):
        kept = {key: part for key, part in value.items() if not any(word in str(key) for word in MEASURED)}
        return {without_paths(key, folder): without_paths(part, folder) for key, part in kept.items()}
    if isinstance(value, list | tuple):
        return [without_paths(part, folder) for part in value]
    return value.replace(folder, "") if isinstance(value, str) else value


def differing(a: Any, b: Any, path: str = "") -> Iterator[str]:
    """Name the places at which two nested structures are not the same, bit for bit."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in {**a, **b}:
            yield from (
                differing(a.get(key), b.get(key), f"{path}/{key}") if key in a and key in b else [f"{path}/{key}"]
            )
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for place, (one, other) in enumerate(zip(a, b, strict=True)):
            yield from differing(one, other, f"{path}/{place}")
    elif isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        if a.dtype != b.dtype or a.shape != b.shape or bits(a) != bits(b):
            yield path
    elif type(a) is not type(b) or repr(a) != repr(b):
        yield path


def bits(tensor: torch.Tensor) -> bytes:
    """Take a tensor's bytes: numpy does not have bfloat16, and NaN is not equal to itself."""
    return tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
