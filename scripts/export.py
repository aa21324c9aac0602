"""Writes a trained model as a folder that serves without this project: see docs/serving.md.

    python -m scripts.export checkpoint=runs/.../checkpoints/best.ckpt output=FOLDER [format=onnx] [overwrite=true]

It checks keys and files before it imports torch: --help and mistakes answer at once.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig

from src.core.check import Program, check, check_checkpoint
from src.core.errors import ConfigError
from src.core.explain import blamed_on, readable_errors
from src.core.output import show
from src.core.signatures import signature_of_function

PACKAGES = {"onnx": ("onnx", "onnxscript", "onnxruntime"), "torch_export": (), "safetensors": ("safetensors",)}
WRITTEN = {"model.onnx", "model.onnx.data", "model.pt2", "model.safetensors", "config.json", "preprocessing.json"}


def _check_files(config: dict[Any, Any]) -> None:
    check_checkpoint(config["checkpoint"])
    if not config["tolerance"] > 0:
        raise ConfigError(f"tolerance must be positive, got {config['tolerance']}")
    _check_output(Path(config["output"]), config["overwrite"])
    missing = [package for package in PACKAGES[config["format"]] if find_spec(package) is None]
    if missing:
        install = "pip install --constraint constraints.txt --editable '.[export]'"
        raise ConfigError(f"format={config['format']} needs {', '.join(missing)}: {install}")


def _check_output(folder: Path, overwrite: bool) -> None:
    if not folder.exists():
        return
    if not folder.is_dir() or {path.name for path in folder.iterdir()} - WRITTEN:
        raise ConfigError(f"output={folder} exists and is not an exported model: name another folder")
    if not overwrite:
        raise ConfigError(f"output={folder} exists: name another folder, or add overwrite=true")


EXPORT = Program(
    "export",
    signature_of_function(
        "def export(*, checkpoint: str, output: str, format: Literal['onnx', 'torch_export', 'safetensors'],"
        " tolerance: float, overwrite: bool, trust: list[str], debug: bool): ..."
    ),
    _check_files,
)


def run(cfg: DictConfig) -> None:
    """Export what a checked config describes."""
    from src.serving.export import export
    from src.training.checkpoint import load_model

    model = load_model(cfg.checkpoint, cfg.trust)
    with blamed_on(cfg.checkpoint):
        done = export(model, Path(cfg.output), format=cfg.format, tolerance=cfg.tolerance)
    sizes = {path.name: path.stat().st_size for path in sorted(Path(cfg.output).iterdir())}
    show(f"{cfg.output}: " + ", ".join(f"{name} {size / 1e3:,.1f} kB" for name, size in sizes.items()))
    show(f"differs from the net by {done.difference:.1e} of its largest output (tolerance {cfg.tolerance:.0e})")
    show(f"a call with one row: {done.file_ms:.2g} ms, the net itself {done.net_ms:.2g} ms")


@hydra.main(version_base="1.3", config_path="../conf", config_name="export")
def main(cfg: DictConfig) -> None:
    """Check keys and files, then export."""
    with readable_errors("export"):
        check(cfg, EXPORT)
        run(cfg)


if __name__ == "__main__":
    with readable_errors("export"):
        main()
