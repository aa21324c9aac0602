"""A trained model from one file, without its training data."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from hydra.utils import get_object, instantiate

from src.training.checkpoint_io import read_checkpoint

# Where the parts of a model may come from: what a checkpoint names is called with what it says.
TRUSTED = ("src.models", "torch.nn", "torch.optim", "timm")


def load_model(path: str | Path, trust: Sequence[str] = ()) -> pl.LightningModule:
    """The model of a fastlight checkpoint, on the CPU, in evaluation mode.

    trust: packages beside TRUSTED whose classes and functions it may name, such as one with a net of your own.
    Raises FileNotFoundError if there is no such file, ValueError if it is damaged or no checkpoint of fastlight's, or
    if its model has parts from elsewhere: a file could name any function there is, to run it.
    """
    checkpoint = read_checkpoint(path)
    saved = checkpoint.get("hyper_parameters", {}) if isinstance(checkpoint, dict) else {}
    if "model" not in saved or "spec" not in saved:
        raise ValueError(f"{path} is no checkpoint of fastlight's: it lacks hyper_parameters.model and .spec")
    _check_parts(saved["model"], str(path), (*TRUSTED, *trust))
    model = instantiate({**saved["model"], "compile": False}, _convert_="all")
    model.hparams.update(saved)
    model.configure_model()
    model.load_state_dict(checkpoint["state_dict"])
    return model.eval()


def _check_parts(node: Any, path: str, trusted: tuple[str, ...]) -> None:
    """Raise ValueError for a `_target_`, however deep, that is not defined in one of the trusted packages."""
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _check_parts(value, path, trusted)
    name = str(node.get("_target_", "")) if isinstance(node, dict) else ""
    # The name alone could lead through a trusted module to what that has imported.
    if name and not (_is_in(name, trusted) and _is_in(getattr(get_object(name), "__module__", ""), trusted)):
        raise ValueError(
            f"{path} names {name}, which is not run: models are of {', '.join(trusted)}; if you know the file and its "
            f"net is yours, give trust=[{name.partition('.')[0]}]"
        )


def _is_in(name: str, packages: tuple[str, ...]) -> bool:
    return any(name.startswith(f"{package}.") for package in packages)
