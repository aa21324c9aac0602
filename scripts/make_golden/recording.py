"""Trains a golden case, and writes what later versions are compared with."""

import csv
import json
import tempfile
from pathlib import Path
from typing import Any

import torch

from scripts.make_golden.answers import answer, question
from scripts.make_golden.cases import GOLDEN, SAVED_AT, overrides
from src.core.check import check, composed
from src.core.errors import ROOT
from src.core.migrations import newest_format
from src.core.run_config import save_config
from src.core.run_dir import RunDir
from src.report.environment import cpu
from src.training.checkpoint import load_model
from src.training.checkpoint_io import read_checkpoint, write_checkpoint
from src.training.run import run


def machine() -> dict[str, str]:
    """Return what decides on the last digits of a sum: torch, the kernels that it chooses, the processor."""
    return {
        "torch": torch.__version__,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "processor": cpu().rpartition(",")[0],
        "threads": str(torch.get_num_threads()),
    }


def losses_of(run_dir: Path) -> dict[str, list[float]]:
    """Read the training loss of each step, and the validation loss at the end."""
    with RunDir(run_dir).metrics_csv.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows if row.get(name)] for name in ("train/loss", "val/loss")}


def record(case: str, *, release: bool) -> None:
    """Train a case and write its losses; for a release also its checkpoint, if its format has none yet."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        kept = folder / "kept.ckpt"
        losses = train(case, folder, kept)
        write_json(GOLDEN / "losses" / f"{case}.json", {"machine": machine(), **losses})
        place = folder_of(newest_format()) / f"{case}.ckpt"
        if not release or place.exists():
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        write_checkpoint(without_places(read_checkpoint(kept), folder), place)
        model = load_model(place)
        inputs = question(model)
        resumed = {name: values[-1] for name, values in losses.items()}
        expected = {"machine": machine(), "inputs": inputs, "outputs": answer(model, inputs), "resumed": resumed}
        write_json(place.with_suffix(".json"), expected)
        text = RunDir(folder / "config").config_yaml.read_text()
        place.with_suffix(".yaml").write_text(without_places(text, folder))


def train(case: str, folder: Path, kept: Path | None = None) -> dict[str, list[float]]:
    """Train a case in folder/run; returns its losses.

    Args:
        case: its name.
        folder: for the run and its cache; folder/config gets the config that repeats the run.
        kept: where to save the checkpoint of step SAVED_AT; None: nowhere.
    """
    cfg = composed([*overrides(case), f"run_dir={folder}/config", f"cache_dir={folder}/cache", "quiet=true"])
    check(cfg)
    Path(cfg.run_dir).mkdir()
    save_config(cfg)
    cfg = composed([*overrides(case), f"run_dir={folder}/run", f"cache_dir={folder}/cache", "quiet=true"])
    if kept is not None:
        keep = {"_target_": "scripts.make_golden.keep.Keep", "path": str(kept), "step": SAVED_AT, "stop": False}
        cfg.callbacks = {**cfg.callbacks, "keep": keep}
    Path(cfg.run_dir).mkdir()
    run(cfg)
    return losses_of(folder / "run")


def folder_of(number: int) -> Path:
    """The folder of the golden checkpoints of a format."""
    return GOLDEN / f"format_{number}"


def write_json(path: Path, content: Any) -> None:
    """Write a file of numbers that are read back exactly as they were."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")


def without_places(node: Any, folder: Path) -> Any:
    """Replace the folders of this machine in all texts of nested data: by `runs`, and by what is below the checkout."""
    if isinstance(node, dict):
        return {without_places(key, folder): without_places(value, folder) for key, value in node.items()}
    if isinstance(node, list):
        return [without_places(part, folder) for part in node]
    return node.replace(str(folder), "runs").replace(f"{ROOT}/", "") if isinstance(node, str) else node
