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
        raise ValueError(f"{path} is no checkpoint that loads safely: {str(error).splitlines()[0]}") from error
    saved = checkpoint.get("hyper_parameters", {}) if isinstance(checkpoint, dict) else {}
    if "model" not in saved or "spec" not in saved:
        raise ValueError(f"{path} is no checkpoint of fastlight's: it lacks hyper_parameters.model and .spec")
    # The weights are all here: what they once started from need not be.
    config = {**saved["model"], **({"backbone": None} if "backbone" in saved["model"] else {})}
    model = instantiate(config, _convert_="all")
    model.hparams.update(saved)
    model.configure_model()
    model.load_state_dict(checkpoint["state_dict"])
    return model.eval()
