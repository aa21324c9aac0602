"""A trained model from one file, without its training data."""

from pathlib import Path

import pytorch_lightning as pl
from hydra.utils import instantiate

from src.checkpoint_io import read_checkpoint


def load_model(path: str | Path) -> pl.LightningModule:
    """The model of a fastlight checkpoint, on the CPU, in evaluation mode.

    Raises FileNotFoundError if there is no such file, ValueError if it is damaged or no checkpoint of fastlight's.
    """
    checkpoint = read_checkpoint(path)
    saved = checkpoint.get("hyper_parameters", {}) if isinstance(checkpoint, dict) else {}
    if "model" not in saved or "spec" not in saved:
        raise ValueError(f"{path} is no checkpoint of fastlight's: it lacks hyper_parameters.model and .spec")
    model = instantiate({**saved["model"], "compile": False}, _convert_="all")
    model.hparams.update(saved)
    model.configure_model()
    model.load_state_dict(checkpoint["state_dict"])
    return model.eval()
