"""Checks a composed config against the signatures of what it configures, without importing torch.

Every key below a `_target_` is an argument of that target, one to one; so the signatures are the schema. `check` reads
them from source text (`src.signatures`), compares names and plain types, and looks for the files that a run needs.
"""

import ast
import os
import secrets
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.errors import ConfigError, nearest
from src.signatures import Signature, accepts, signature_of, signature_of_function

HYDRA_KEYS = {"_target_", "_partial_", "_convert_", "_recursive_", "_args_"}


@dataclass(frozen=True)
class Program:
    """What a program asks of its config: conf/NAME.yaml, its own keys (no target's arguments), and files."""

    name: str
    signature: Signature
    check_files: Callable[[dict[Any, Any]], None]


def _experiment(_root_: DictConfig) -> str:
    """The chosen experiment; Hydra keeps it in the config until the job starts, in HydraConfig from then on."""
    choices = OmegaConf.select(_root_, "hydra.runtime.choices") or HydraConfig.get().runtime.choices
    return choices["experiment"]


OmegaConf.register_new_resolver("run_id", lambda: secrets.token_hex(2), use_cache=True, replace=True)
OmegaConf.register_new_resolver("experiment", _experiment, replace=True)


def check(cfg: DictConfig, program: Program | None = None) -> None:
    """Raise ConfigError for a wrong key, a wrong type or a missing file; train.py's are checked if none is named.

    On failure the run_dir that Hydra made for the job is removed again if it is empty.
    """
    program = program or TRAIN
    try:
        config = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
        assert isinstance(config, dict)
        _check_arguments("", config, program.signature, program.name)
        program.check_files(config)
    except (ConfigError, OmegaConfBaseException):
        if "run_dir" in cfg:
            _remove_empty(Path(cfg.run_dir))
        raise


def _remove_empty(folder: Path) -> None:
    """Remove a folder if it is empty, and those above it that are, as far as they lie below the current one."""
    with suppress(OSError):
        folder.rmdir()
        for parent in folder.parents:
            if Path.cwd() not in parent.parents:
                break
            parent.rmdir()


def _check_arguments(path: str, config: dict[Any, Any], signature: Signature | None, program: str) -> None:
    """Compare one node with the signature of what it configures, then the nodes below it."""
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
    annotation = signature.annotations[key]
    is_object = isinstance(value, dict) and "_target_" in value
    if annotation is not None and not is_object and not accepts(annotation, value):
        raise ConfigError(f"{name} must be {_in_words(annotation)}, got {value!r}")


def _in_words(annotation: ast.expr) -> str:
    """`fit, test or validate` for a Literal, other annotations as they stand."""
    match annotation:
        case ast.Subscript(value=ast.Name(id="Literal"), slice=ast.Tuple(elts=[*others, last])):
            return f"{', '.join(map(_in_words, others))} or {_in_words(last)}"
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
    last = _last_checkpoint(config["run_dir"])
    if config["checkpoint"]:
        check_checkpoint(config["checkpoint"])
    if config["model"].get("backbone"):
        check_checkpoint(config["model"]["backbone"], "model.backbone")
    if config["resume"] and not last.is_file():
        raise ConfigError(f"resume=true continues the run in run_dir, but {last} does not exist; give run_dir=PATH")
    if config["task"] != "fit" and not config["checkpoint"]:
        raise ConfigError(f"task={config['task']} scores a trained model: give checkpoint=PATH")


TRAIN = Program(
    "train",
    signature_of_function(
        "def train(*, task: Literal['fit', 'test', 'validate'], seed: int, run_dir: str, data_dir: str,"
        " cache_dir: str, checkpoint: str | None, resume: bool, debug: bool,"
        " scoring: dict[str, str], datamodule: dict, model: dict, callbacks: dict, trainer: dict, logger: dict): ..."
    ),
    _check_train_files,
)


# ---- one run ----


def use_run_dir(cfg: DictConfig) -> None:
    """Set run_dir to the folder that Hydra made for this job: multirun jobs and ranks each know their own."""
    cfg.run_dir = HydraConfig.get().runtime.output_dir


def _last_checkpoint(run_dir: str) -> Path:
    return Path(run_dir) / "checkpoints" / "last.ckpt"


def checkpoint_to_load(cfg: DictConfig) -> str | None:
    """The checkpoint that the run starts from: the last one of run_dir if `resume`, else `checkpoint`."""
    return str(_last_checkpoint(cfg.run_dir)) if cfg.resume else cfg.checkpoint


def save_config(cfg: DictConfig) -> dict[str, Any]:
    """Write run_dir/config.yaml, resolved and enough to repeat the run elsewhere; return it as plain data.

    A resumed run that was started with other values says which, once, and goes on with the new ones. Scoring a run in
    its own run_dir leaves the config of its training alone.
    """
    config = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(config, dict)
    path = Path(cfg.run_dir) / "config.yaml"
    if int(os.environ.get("LOCAL_RANK", "0")) == 0 and (cfg.task == "fit" or not path.is_file()):
        portable = _with_reference({**config, "resume": False}, cfg.run_dir)
        if cfg.resume and path.is_file():
            _tell_changes(path, portable)
        text = OmegaConf.to_yaml(OmegaConf.create(portable))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            f"# Repeat: python train.py --config-path={path.parent} --config-name=config run_dir=NEW\n"
            "defaults:\n- _self_\n- override hydra/hydra_logging: disabled\n- override hydra/job_logging: disabled\n"
            f"hydra:\n  run:\n    dir: ${{run_dir}}\n  output_subdir: null\n{text}"
        )
    return config  # pyright: ignore[reportReturnType]


def _tell_changes(path: Path, config: dict[Any, Any]) -> None:
    old = OmegaConf.to_container(OmegaConf.load(path))
    ignored = ("defaults", "hydra", "run_dir", "debug")
    changed = [key for key in _differing(old, config) if key.split(".")[0] not in ignored]
    if changed:
        sys.stderr.write(f"note: resumed with other values than before: {', '.join(changed)}\n")


def _with_reference(node: Any, run_dir: str, key: str | None = None) -> Any:
    """The config with ${run_dir} again where paths begin with it, so that a repeat writes into its own folder."""
    if isinstance(node, dict):
        return {k: _with_reference(v, run_dir, k) for k, v in node.items()}
    if isinstance(node, str) and node.startswith(run_dir) and key != "run_dir":
        return node.replace(run_dir, "${run_dir}", 1)
    return node


def _differing(old: Any, new: Any, path: str = "") -> list[str]:
    """Dotted keys at which two configs differ."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return [] if old == new else [path]
    keys = dict.fromkeys([*new, *old])
    return [name for key in keys for name in _differing(old.get(key), new.get(key), f"{path}.{key}".lstrip("."))]
