"""A trained model from one file, without its training data."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from src.core.errors import first_line
from src.core.explain import is_for_the_user
from src.core.saved_config import part_of
from src.training.bounded import bounded
from src.training.checkpoint_io import read_checkpoint
from src.training.saved_parts import build

# The parts of a model may come from here: a checkpoint names classes and functions, which are called.
PACKAGES = ("src.models", "torch.nn", "torch.optim", "timm")


def load_model(path: str | Path, trust: Sequence[str] = ()) -> pl.LightningModule:
    """The model of a fastlight checkpoint, on the CPU, in evaluation mode.

    Args:
        path: the file; it may come from anyone.
        trust: further packages whose classes and functions it may name, such as one with a net of your own.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or not a fastlight checkpoint, or it names a class or function of a package that
            is not trusted.
    """
    checkpoint = read_checkpoint(path)
    saved = part_of(checkpoint, "hyper_parameters")
    if not all(isinstance(saved.get(name), dict) for name in ("model", "spec")):
        raise ValueError(f"{path} is not a fastlight checkpoint: it lacks hyper_parameters.model and .spec")
    with bounded(path):
        model = build({**saved["model"], "compile": False}, path, PACKAGES, trust)
        if not isinstance(model, pl.LightningModule):
            raise ValueError(f"{path} is not a fastlight checkpoint: its model is a {type(model).__name__}")
        _fill(model, saved, checkpoint.get("state_dict"), path)
    return model.eval()


def _fill(model: pl.LightningModule, saved: dict[str, Any], weights: Any, path: str | Path) -> None:
    """Build the net for the saved spec and give it the saved weights."""
    model.hparams.update(saved)
    try:
        model.configure_model()
        model.load_state_dict(weights)
    except Exception as error:  # of any kind: what the spec holds was never checked
        if isinstance(error, ValueError) and is_for_the_user(error):
            raise
        words = first_line(error) or type(error).__name__
        raise ValueError(f"{path} holds a net, a spec and weights that do not belong together: {words}") from error
