"""Checks a composed config against the signatures of its targets, without importing torch.

Every key below a `_target_` is an argument of that target: the signatures are the schema. `check` reads them from
source text (src/core/signatures.py), compares names and plain types, and looks for the files that a run needs.
"""

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from src.core.errors import CONF, ConfigError, nearest
from src.core.migrations import FORMAT_KEY, newest_format
from src.core.ranks import run_name
from src.core.remote import folder_for
from src.core.run_dir import check_start
from src.core.signatures import HYDRA_KEYS, Signature, accepts, signature_of, signature_of_function

# Arguments of Lightning's Trainer that would change nothing here, each with what does.
NOT_OF_TRAINER = {
    "logger": "choose logger=none, csv, tensorboard or wandb",
    "callbacks": "choose callbacks=NAME, or add one: +callbacks.NAME._target_=...",
    "barebones": "it leaves out the scores and checkpoints that a run is for; choose callbacks=none logger=none",
    "use_distributed_sampler": "the loaders themselves deal the rows to the ranks",
    "limit_predict_batches": "predict.py predicts, without a Trainer",
    "enable_autolog_hparams": "the loggers always get the config; choose logger=none",
    "model_registry": "checkpoints stay in run_dir",
}


@dataclass(frozen=True)
class Program:
    """What a program asks of conf/NAME.yaml.

    Attributes:
        signature: the keys that are not arguments of a target.
        check_files: raises ConfigError if a file is missing.
    """

    name: str
    signature: Signature
    check_files: Callable[[dict[Any, Any]], None]


def _experiment(_root_: DictConfig) -> str:
    """The chosen experiment; Hydra has it in the config until the job starts, and then in HydraConfig."""
    choices = OmegaConf.select(_root_, "hydra.runtime.choices") or HydraConfig.get().runtime.choices
    return choices["experiment"]


OmegaConf.register_new_resolver("run_name", run_name, use_cache=True, replace=True)
OmegaConf.register_new_resolver("experiment", _experiment, replace=True)
OmegaConf.register_new_resolver("folder_for", folder_for, replace=True)
OmegaConf.register_new_resolver(FORMAT_KEY, newest_format, replace=True)


def composed(overrides: Sequence[str], name: str = "train") -> DictConfig:
    """The config of `python train.py OVERRIDES`, or of another program by its name. It resets Hydra's global state."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(name, list(overrides))


def check(cfg: DictConfig, program: Program | None = None, *, has_data: bool = False) -> None:
    """Check the keys, the plain types and the files of a config.

    Args:
        program: whose config it is; train.py's if None.
        has_data: whether the data are given as an object, so that the config need not name their class.

    Raises:
        ConfigError: a key is unknown, a value has another type than its argument, or a file is missing.
    """
    program = program or TRAIN
    config = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    assert isinstance(config, dict)
    _check_arguments("", config, program.signature, program.name)
    program.check_files(config)
    if program is TRAIN and not has_data:
        _check_class("datamodule", config)


def _check_class(part: str, config: dict[Any, Any]) -> None:
    if "_target_" not in config[part]:
        raise ConfigError(f"{part} names no class: choose a file of conf/{part} that gives {part}._target_")


def _check_arguments(path: str, config: dict[Any, Any], signature: Signature | None, program: str) -> None:
    """Compare a node with the signature of its target, then the nodes below it."""
    owner = config.get("_target_", f"conf/{program}.yaml")
    for key, value in config.items():
        name = f"{path}.{key}" if path else str(key)
        if key not in HYDRA_KEYS and signature is not None:
            _check_argument(name, str(key), value, signature, owner)
        if isinstance(value, dict):
            target = value.get("_target_")
            _check_arguments(name, value, _signature_of_node(name, target) if target else None, program)
    missing = signature.required - set(config) if signature and not config.get("_partial_") else set()
    if missing:
        raise ConfigError(f"{path or owner} lacks {', '.join(sorted(missing))}, which {owner} needs")


def _signature_of_node(path: str, target: str) -> Signature | None:
    try:
        return signature_of(target)
    except ValueError as error:
        raise ConfigError(f"{path}._target_: {error}") from None


def _check_argument(name: str, key: str, value: Any, signature: Signature, owner: str) -> None:
    if key not in signature.annotations:
        if signature.takes_any_key:
            return
        raise ConfigError(f"{owner} has no argument {name}{nearest(key, signature.annotations)}")
    if value == "None":
        raise ConfigError(f"{name}=None is the text 'None': write {name}=null")
    annotation = signature.annotations[key]
    is_object = isinstance(value, dict) and "_target_" in value
    if annotation is not None and not is_object and not accepts(annotation, value):
        raise ConfigError(f"{name} must be {_type_label(annotation)}, got {value!r}")


def _type_label(annotation: ast.expr) -> str:
    """`fit, test or validate` for a Literal, other annotations as they are."""
    match annotation:
        case ast.Subscript(value=ast.Name(id="Literal"), slice=ast.Tuple(elts=[*others, last])):
            return f"{', '.join(map(_type_label, others))} or {_type_label(last)}"
        case ast.Constant(value=str(text)):
            return text
    return ast.unparse(annotation)


def check_checkpoint(checkpoint: str, key: str = "checkpoint") -> None:
    """Raise ConfigError unless `checkpoint`, the value of `key`, is a file."""
    path = Path(checkpoint)
    if not path.is_file():
        found = [str(other) for other in path.parent.glob("*.ckpt")]
        raise ConfigError(f"{key}={checkpoint} is not a file{nearest(checkpoint, found)}")


def _check_train_files(config: dict[Any, Any]) -> None:
    if config["checkpoint"]:
        check_checkpoint(config["checkpoint"])
    if config["model"].get("backbone"):
        check_checkpoint(config["model"]["backbone"], "model.backbone")
    check_start(config)
    _check_class("model", config)
    for key in config["trainer"]:
        if key in NOT_OF_TRAINER:
            raise ConfigError(f"trainer.{key} has no effect here: {NOT_OF_TRAINER[key]}")
    if config["task"] != "fit" and not config["checkpoint"]:
        raise ConfigError(f"task={config['task']} scores a trained model: give checkpoint=PATH")


TRAIN = Program(
    "train",
    signature_of_function(
        "def train(*, task: Literal['fit', 'test', 'validate'], seed: int, run_dir: str, data_dir: str,"
        " cache_dir: str, checkpoint: str | None,"
        " resume: Literal[True, False, 'auto'], overwrite: bool, print_config: bool = False, quiet: bool = False,"
        " debug: bool, fastlight_format: int, scoring: dict[str, str], datamodule: dict, model: dict, callbacks: dict,"
        " trainer: dict, logger: dict): ..."
    ),
    _check_train_files,
)
