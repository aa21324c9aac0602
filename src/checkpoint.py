"""A trained model from one file, without its training data."""

from pathlib import Path

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate


def load_model(path: str | Path) -> pl.LightningModule:
    """The model of a fastlight checkpoint, on the CPU, in evaluation mode.

    Reads plain data and tensors only (weights_only). Raises FileNotFoundError if there is no such file, ValueError if
    it is no checkpoint of fastlight's.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"checkpoint {path} does not exist")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # torch's own text advises to load it unsafely
        raise ValueError(f"{path} is no checkpoint of plain data and tensors, which alone are loaded") from error
    saved = checkpoint.get("hyper_parameters", {}) if isinstance(checkpoint, dict) else {}
    if "model" not in saved or "spec" not in saved:
        raise ValueError(f"{path} is no checkpoint of fastlight's: it lacks hyper_parameters.model and .spec")
    model = instantiate({**saved["model"], "compile": False}, _convert_="all")
    model.hparams.update(saved)
    model.configure_model()
    model.load_state_dict(checkpoint["state_dict"])
    return model.eval()
