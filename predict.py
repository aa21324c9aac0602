"""Ask a trained model: `python predict.py checkpoint=PATH input=PICTURES`, `... input=TABLE` or `... prompt=TEXT`.

Nothing here imports torch before keys and files are known to be right, so that --help and mistakes answer at once.
"""

import sys
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig

from src.core.check import Program, check, check_checkpoint
from src.core.errors import ConfigError
from src.core.explain import readable_errors
from src.core.signatures import signature_of_function
from src.predict.images import find_pictures, predict_pictures


def _check_files(config: dict[Any, Any]) -> None:
    check_checkpoint(config["checkpoint"])
    if (config["input"] is None) == (config["prompt"] is None):
        raise ConfigError("give input=PATH, pictures or a table, or prompt=TEXT, words to continue: one of them")
    if config["input"] is not None:
        _check_input(config)
    for key in ("batch_size", "length"):
        if config[key] < 1:
            raise ConfigError(f"{key} must be positive, got {config[key]}")
    if Path(config["output"]).is_dir():
        raise ConfigError(f"output={config['output']} is a folder; name a file in it")


def _check_input(config: dict[Any, Any]) -> None:
    from src.predict.tables import check_table, is_table  # pandas and pyarrow: a second that --help does not wait for

    if is_table(config["input"]):
        check_table(config["input"], config["output"])
    else:
        find_pictures(config["input"])


PREDICT = Program(
    "predict",
    signature_of_function(
        "def predict(*, checkpoint: str, device: str, trust: list[str], debug: bool,"
        " input: str | None, output: str, batch_size: int, flip_tta: bool, id: str | None,"
        " prompt: str | None, length: int, temperature: float, top_k: int | None, top_p: float | None, seed: int"
        "): ..."
    ),
    _check_files,
)


def run(cfg: DictConfig) -> int:
    """Predict what a checked config describes; returns the exit status."""
    from src.training.checkpoint import load_model

    model = load_model(cfg.checkpoint, cfg.trust).to(choose_device(cfg.device))
    if cfg.prompt is None:
        return _predict_input(model, cfg)
    from src.predict.text import predict_text

    predict_text(
        model,
        cfg.prompt,
        cfg.length,
        temperature=cfg.temperature,
        top_k=cfg.top_k,
        top_p=cfg.top_p,
        seed=cfg.seed,
    )
    return 0


def _predict_input(model: Any, cfg: DictConfig) -> int:
    from src.predict.tables import is_table, predict_table

    if is_table(cfg.input):
        predict_table(model, cfg.input, Path(cfg.output), cfg.id)
        return 0
    return predict_pictures(model, cfg.input, Path(cfg.output), cfg.batch_size, cfg.flip_tta)


def choose_device(name: str) -> str:
    """The device of that name; of `auto`, a GPU if there is one.

    Raises ConfigError if torch has no such device here.
    """
    import torch

    if name == "auto":
        accelerator = torch.accelerator.current_accelerator(check_available=True)
        return accelerator.type if accelerator is not None else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device={name} is not to be had here: {str(error).splitlines()[0]}") from None
    return name


@hydra.main(version_base="1.3", config_path="conf", config_name="predict")
def main(cfg: DictConfig) -> None:
    """Check keys and files, then predict."""
    with readable_errors("predict"):
        check(cfg, PREDICT)
        sys.exit(run(cfg))


if __name__ == "__main__":
    with readable_errors("predict"):
        main()
