"""Checks a composed config against the signatures of what it configures, without importing torch.

Every key below a `_target_` is an argument of that target, one to one; so the signatures are the schema. `check` reads
them from source text (`src.signatures`), compares names and plain types, and looks for the files that a run needs.
"""

import ast
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from src.errors import CONF, ConfigError, nearest
from src.ranks import is_rank_zero, run_name
from src.remote import Copy, folder_for, is_address, send_run
from src.run_dir import check_start
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


OmegaConf.register_new_resolver("run_name", run_name, use_cache=True, replace=True)
OmegaConf.register_new_resolver("experiment", _experiment, replace=True)
OmegaConf.register_new_resolver("folder_for", folder_for, replace=True)


def composed(overrides: Sequence[str], name: str = "train") -> DictConfig:
    """The config that `python train.py OVERRIDES`, or predict.py, would get; Hydra forgets what it had begun before."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(name, list(overrides))


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
    if value == "None":
        raise ConfigError(f"{name}=None is a text here: write {name}=null")
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
    if config["checkpoint"]:
        check_checkpoint(config["checkpoint"])
    if config["model"].get("backbone"):
        check_checkpoint(config["model"]["backbone"], "model.backbone")
    check_start(config)
    if config["task"] != "fit" and not config["checkpoint"]:
        raise ConfigError(f"task={config['task']} scores a trained model: give checkpoint=PATH")


TRAIN = Program(
    "train",
    signature_of_function(
        "def train(*, task: Literal['fit', 'test', 'validate'], seed: int, run_dir: str, data_dir: str,"
        " cache_dir: str, checkpoint: str | None,"
        " resume: Literal[True, False, 'auto'], overwrite: bool, print_config: bool = False, debug: bool,"
        " scoring: dict[str, str], datamodule: dict, model: dict, callbacks: dict, trainer: dict, logger: dict): ..."
    ),
    _check_train_files,
)


# ---- one run ----


def use_run_dir(cfg: DictConfig) -> None:
    """Set run_dir to the folder that Hydra made for this job: multirun jobs and ranks each know their own.

    Where run_dir is an address that folder stands for it, and gets what is there. Raises ConfigError for a run that is
    to be continued and is given a new folder each time.
    """
    hydra = HydraConfig.get()
    is_new = "${run_name:}" in OmegaConf.to_container(cfg)["run_dir"]  # pyright: ignore
    if cfg.resume in (True, "auto") and is_new and hydra.mode == RunMode.RUN:
        _remove_empty(Path(hydra.runtime.output_dir))
        raise ConfigError(f"resume={str(cfg.resume).lower()} continues the run in run_dir: give run_dir=PATH")
    given, cfg.run_dir = cfg.run_dir, hydra.runtime.output_dir
    if is_address(given) and (is_rank_zero() or cfg.resume):
        Copy(f"{given}/{hydra.sweep.subdir}" if hydra.mode == RunMode.MULTIRUN else given, Path(cfg.run_dir)).fetch()


def with_local_data(cfg: DictConfig) -> DictConfig:
    """The config as it is, or, where data_dir is an address, with a folder of cache_dir that has what is there."""
    if not is_address(cfg.data_dir):
        return cfg
    local = cfg.copy()
    local.data_dir = folder_for(cfg.data_dir, f"{cfg.cache_dir}/data")
    if Copy(cfg.data_dir, Path(local.data_dir)).fetch() == 0:
        raise FileNotFoundError(f"data_dir={cfg.data_dir} holds no files")
    return local


def save_config(cfg: DictConfig) -> dict[str, Any]:
    """Write run_dir/config.yaml, resolved and enough to repeat the run elsewhere; return it as plain data.

    A resumed run that was started with other values says which, once, and goes on with the new ones. Scoring a run in
    its own run_dir leaves the config of its training alone.
    """
    config = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(config, dict)
    path = Path(cfg.run_dir) / "config.yaml"
    if is_rank_zero() and (cfg.task == "fit" or not path.is_file()):
        portable = {**_with_reference(config, cfg.run_dir), "run_dir": cfg.run_dir, "resume": False, "overwrite": False}
        if cfg.resume and path.is_file():
            _tell_changes(path, portable)
        text = OmegaConf.to_yaml(OmegaConf.create(portable))
        path.parent.mkdir(parents=True, exist_ok=True)
        staged = path.with_suffix(".tmp")
        staged.write_text(
            f"# Repeat: python train.py --config-path={path.parent} --config-name=config run_dir=NEW\n{_begun_by()}"
            "defaults:\n- _self_\n- override hydra/hydra_logging: disabled\n- override hydra/job_logging: disabled\n"
            f"hydra:\n  run:\n    dir: ${{folder_for:${{run_dir}},${{cache_dir}}/runs}}\n  output_subdir: null\n{text}"
        )
        os.replace(staged, path)
        send_run(path.parent)  # an address that cannot be written fails now, not after the first epoch
    return config  # pyright: ignore[reportReturnType]


def _begun_by() -> str:
    """A comment with the command line that composed the config, but for where it writes, if that can be told."""
    if not HydraConfig.initialized() or HydraConfig.get().job.config_name != "train":
        return ""
    kept = (o for o in HydraConfig.get().overrides.task if not o.startswith(("run_dir=", "resume=", "overwrite=")))
    line = shlex.join(["python", "train.py", *kept])
    return "" if "\n" in line else f"# Begun by: {line}\n"


def _tell_changes(path: Path, config: dict[Any, Any]) -> None:
    old = OmegaConf.to_container(OmegaConf.load(path))
    ignored = ("defaults", "hydra", "run_dir", "print_config", "debug")
    changed = [key for key in _differing(old, config) if key.split(".")[0] not in ignored]
    if changed:
        sys.stderr.write(f"note: resumed with other values than before: {', '.join(changed)}\n")


def _with_reference(node: Any, run_dir: str) -> Any:
    """The config with ${run_dir} again where paths begin with it, so that a repeat writes into its own folder."""
    if isinstance(node, dict):
        return {key: _with_reference(value, run_dir) for key, value in node.items()}
    if isinstance(node, str) and (node == run_dir or node.startswith(f"{run_dir}/")):
        return node.replace(run_dir, "${run_dir}", 1)
    return node


def _differing(old: Any, new: Any, path: str = "") -> list[str]:
    """Dotted keys at which two configs differ."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return [] if old == new else [path]
    keys = dict.fromkeys([*new, *old])
    return [name for key in keys for name in _differing(old.get(key), new.get(key), f"{path}.{key}".lstrip("."))]
