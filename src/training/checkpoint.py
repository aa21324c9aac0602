"""A trained model from one file, without its training data."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from hydra.utils import get_object, instantiate

from src.training.checkpoint_io import read_checkpoint

# The parts of a model may come from here: a checkpoint names classes and functions, which are called.
TRUSTED = ("src.models", "torch.nn", "torch.optim", "timm")


def load_model(path: str | Path, trust: Sequence[str] = ()) -> pl.LightningModule:
    """The model of a fastlight checkpoint, on the CPU, in evaluation mode.

    Args:
        trust: further packages whose classes and functions it may name, such as one with a net of your own.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or not a fastlight checkpoint, or it names a class or function of a package that
            is not trusted.
    """
    checkpoint = read_checkpoint(path)
    saved = checkpoint.get("hyper_parameters", {}) if isinstance(checkpoint, dict) else {}
    if "model" not in saved or "spec" not in saved:
        raise ValueError(f"{path} is not a fastlight checkpoint: it lacks hyper_parameters.model and .spec")
    _check_parts(saved["model"], str(path), (*TRUSTED, *trust))
    model = instantiate({**saved["model"], "compile": False}, _convert_="all")
    model.hparams.update(saved)
    model.configure_model()
    model.load_state_dict(checkpoint["state_dict"])
    return model.eval()


def _check_parts(node: Any, path: str, trusted: tuple[str, ...]) -> None:
    """Raise ValueError for a `_target_` at any depth that is not defined in a trusted package."""
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _check_parts(value, path, trusted)
    name = str(node.get("_target_", "")) if isinstance(node, dict) else ""
    # The name alone could lead through a trusted module to something that it has imported.
    if name and not (_is_in(name, trusted) and _is_in(getattr(get_object(name), "__module__", ""), trusted)):
        raise ValueError(
            f"{path} names {name}, which is not run: only {', '.join(trusted)} are trusted; if you know the file and "
            f"the net is yours, give trust=[{name.partition('.')[0]}]"
        )


def _is_in(name: str, packages: tuple[str, ...]) -> bool:
    return any(name.startswith(f"{package}.") for package in packages)
