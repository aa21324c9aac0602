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
    check_checkpoint(config["checkpoint"])
    if Path(config["output"]).is_dir():
        raise ConfigError(f"output={config['output']} is a folder; name a file in it")
    check_question(config)


def _signature() -> Signature:
    """The keys of predict.py: its own, and the arguments of each domain's predictor beside the model."""
    questions = ", ".join(f"{key}: str | None" for key in dict.fromkeys(domain.asked_by for domain in domains()))
    signature = signature_of_function(
        f"def predict(*, checkpoint: str, device: str, trust: list[str], debug: bool, output: str, {questions}): ..."
    )
    for domain in domains():
        signature.annotations = _arguments(domain) | signature.annotations
    return signature


def _arguments(domain: Domain) -> dict[str, Any]:
    signature = signature_of(domain.predict)
    assert signature is not None, f"{domain.predict} does not exist"
    return {name: annotation for name, annotation in signature.annotations.items() if name != "model"}


PREDICT = Program("predict", _signature(), _check_files)
_KEYS = [OmegaConf.load(CONF / "predict" / f"{domain.name}.yaml") for domain in domains()]
ConfigStore.instance().store("domain_keys", OmegaConf.merge(*_KEYS))


def run(cfg: DictConfig) -> int:
    """Predict what a checked config describes; returns the exit status."""
    from src.training.checkpoint import load_model

    model = load_model(cfg.checkpoint, cfg.trust).to(choose_device(cfg.device))
    domain, asked = domain_of(model.hparams["spec"]), domain_asked(cfg)
    if domain is None:
        raise ConfigError(f"{cfg.checkpoint} holds a {type(model).__name__}, which predict.py cannot ask")
    if asked not in (None, domain) or cfg[domain.asked_by] is None:
        key = next(key for key in dict.fromkeys(d.asked_by for d in domains()) if cfg[key] is not None)
        raise ConfigError(f"the checkpoint holds {domain.model}: it cannot answer {key}={cfg[key]}")
    Domain.load(domain.check)(cfg)
    with blamed_on(cfg.checkpoint):
        return Domain.load(domain.predict)(model, **{key: cfg[key] for key in _arguments(domain)})


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
