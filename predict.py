"""Ask a trained model: `python predict.py checkpoint=PATH input=IMAGES`, `... input=TABLE` or `... prompt=TEXT`.

Nothing here imports torch before keys and files are known to be right, so --help and mistakes answer at once.
"""

import sys
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from src.core.check import Program, check, check_checkpoint
from src.core.domains import Domain, domain_of, domains
from src.core.errors import CONF, ConfigError
from src.core.explain import blamed_on, readable_errors
from src.core.signatures import Signature, signature_of, signature_of_function
from src.predict.question import check_question, domain_asked


def _check_files(config: dict[Any, Any]) -> None:
    if not config["checkpoint"]:
        raise ConfigError("checkpoint=[] names no file; give one or more")
    for path in _checkpoints(config):
        check_checkpoint(path)
    if Path(config["output"]).is_dir():
        raise ConfigError(f"output={config['output']} is a folder; name a file in it")
    check_question(config)


def _checkpoints(config: Any) -> list[str]:
    given = config["checkpoint"]
    return [given] if isinstance(given, str) else list(given)


def _signature() -> Signature:
    """The keys of predict.py: its own, and the arguments of each domain's predictor beside the models."""
    questions = ", ".join(f"{key}: str | None" for key in dict.fromkeys(domain.asked_by for domain in domains()))
    signature = signature_of_function(
        f"def predict(*, checkpoint: str | list[str], device: str, trust: list[str], debug: bool, output: str,"
        f" {questions}): ..."
    )
    for domain in domains():
        signature.annotations = _arguments(domain) | signature.annotations
    return signature


def _arguments(domain: Domain) -> dict[str, Any]:
    signature = signature_of(domain.predict)
    assert signature is not None, f"{domain.predict} does not exist"
    return {name: annotation for name, annotation in signature.annotations.items() if name != "models"}


PREDICT = Program("predict", _signature(), _check_files)
_KEYS = [OmegaConf.load(CONF / "predict" / f"{domain.name}.yaml") for domain in domains()]
ConfigStore.instance().store("domain_keys", OmegaConf.merge(*_KEYS))


def run(cfg: DictConfig) -> int:
    """Predict what a checked config describes; returns the exit status."""
    from src.training.checkpoint import load_model

    paths, device = _checkpoints(cfg), choose_device(cfg.device)
    models = [load_model(path, cfg.trust).to(device) for path in paths]
    domain, asked = _domain(paths, models), domain_asked(cfg)
    if asked not in (None, domain) or cfg[domain.asked_by] is None:
        key = next(key for key in dict.fromkeys(d.asked_by for d in domains()) if cfg[key] is not None)
        raise ConfigError(f"the checkpoint holds {domain.model}: it cannot answer {key}={cfg[key]}")
    Domain.load(domain.check)(cfg)
    with blamed_on(", ".join(paths)):
        return Domain.load(domain.predict)(models, **{key: cfg[key] for key in _arguments(domain)})


def _domain(paths: list[str], models: list[Any]) -> Domain:
    """The domain of all models. Raises ConfigError if one has none, or they differ."""
    found = [domain_of(model.hparams["spec"]) for model in models]
    for path, model, domain in zip(paths, models, found, strict=True):
        if domain is None:
            raise ConfigError(f"{path} holds a {type(model).__name__}, which predict.py cannot ask")
        if domain != found[0]:
            raise ConfigError(f"checkpoints that answer together must be of one kind: {path} holds {domain.model}")
    assert found[0] is not None
    return found[0]


def choose_device(name: str) -> str:
    """The device of that name; for `auto`, a GPU if there is one.

    Raises ConfigError if torch has no such device here.
    """
    import torch

    if name == "auto":
        accelerator = torch.accelerator.current_accelerator(check_available=True)
        return accelerator.type if accelerator is not None else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device={name} is not available here: {str(error).splitlines()[0]}") from None
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
