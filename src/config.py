"""Checks a composed config and words its errors, without importing torch.

Every key below a `_target_` is an argument of that target, one to one; so the signatures are the schema. `check` reads
them from source text (`src.signatures`), compares names and plain types, and looks for the files that a run needs.
"""

import ast
import difflib
import os
import secrets
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, InstantiationException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from src.signatures import Signature, accepts, signature_of, signature_of_function

ROOT = Path(__file__).resolve().parent.parent
CONF = ROOT / "conf"
HYDRA_KEYS = {"_target_", "_partial_", "_convert_", "_recursive_", "_args_"}

# The keys of conf/train.yaml, which are no target's arguments.
TRAIN = signature_of_function(
    "def train(*, task: Literal['fit', 'test', 'validate'], seed: int, run_dir: str, data_dir: str, cache_dir: str,"
    " checkpoint: str | None, resume: bool, debug: bool,"
    " datamodule: dict, model: dict, callbacks: dict, trainer: dict, logger: dict): ..."
)


def _experiment(_root_: DictConfig) -> str:
    """The chosen experiment; Hydra keeps it in the config until the job starts, in HydraConfig from then on."""
    choices = OmegaConf.select(_root_, "hydra.runtime.choices") or HydraConfig.get().runtime.choices
    return choices["experiment"]


OmegaConf.register_new_resolver("run_id", lambda: secrets.token_hex(2), use_cache=True, replace=True)
OmegaConf.register_new_resolver("experiment", _experiment, replace=True)


class ConfigError(ValueError):
    """A mistake in a config or on the command line, worded for the person who made it."""


def check(cfg: DictConfig, signature: Signature = TRAIN) -> None:
    """Raise ConfigError for a wrong key, a wrong type or a missing file; on failure an empty run_dir is removed."""
    try:
        config = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
        assert isinstance(config, dict)
        _check_arguments("", config, signature)
        _check_files(config)
    except (ConfigError, OmegaConfBaseException):
        with suppress(OSError):
            Path(cfg.run_dir).rmdir()
        raise


def _check_arguments(path: str, config: dict[Any, Any], signature: Signature | None) -> None:
    """Compare one node with the signature of what it configures, then the nodes below it."""
    for key, value in config.items():
        name = f"{path}.{key}" if path else str(key)
        if key not in HYDRA_KEYS and signature is not None:
            _check_argument(name, str(key), value, signature, config.get("_target_"))
        if isinstance(value, dict):
            target = value.get("_target_")
            _check_arguments(name, value, _signature_of_node(name, target) if target else None)
    missing = signature.required - set(config) if signature and not config.get("_partial_") else set()
    if missing:
        raise ConfigError(
            f"{path} lacks {', '.join(sorted(missing))}, which {config.get('_target_', 'train.py')} needs"
        )


def _signature_of_node(path: str, target: str) -> Signature | None:
    try:
        return signature_of(target)
    except ValueError as error:
        raise ConfigError(f"{path}._target_: {error}") from None


def _check_argument(name: str, key: str, value: Any, signature: Signature, target: str | None) -> None:
    if key not in signature.annotations:
        if signature.takes_any_key:
            return
        raise ConfigError(f"{target or 'conf/train.yaml'} has no argument {name}{nearest(key, signature.annotations)}")
    annotation = signature.annotations[key]
    is_object = isinstance(value, dict) and "_target_" in value
    if annotation is not None and not is_object and not accepts(annotation, value):
        raise ConfigError(f"{name} must be {ast.unparse(annotation)}, got {value!r}")


def _check_files(config: dict[Any, Any]) -> None:
    checkpoint = Path(config["checkpoint"]) if config["checkpoint"] else None
    last = Path(config["run_dir"]) / "checkpoints" / "last.ckpt"
    if checkpoint and not checkpoint.is_file():
        found = [str(path) for path in checkpoint.parent.glob("*.ckpt")]
        raise ConfigError(f"checkpoint={checkpoint} is not a file{nearest(str(checkpoint), found)}")
    if config["resume"] and not last.is_file():
        raise ConfigError(f"resume=true continues the run in run_dir, but {last} does not exist; give run_dir=PATH")
    if config["task"] != "fit" and not checkpoint:
        raise ConfigError(f"task={config['task']} scores a trained model: give checkpoint=PATH")


def use_run_dir(cfg: DictConfig) -> None:
    """Set run_dir to the folder that Hydra made for this job: multirun jobs and ranks each know their own."""
    cfg.run_dir = HydraConfig.get().runtime.output_dir


def checkpoint_to_load(cfg: DictConfig) -> str | None:
    """The checkpoint that the run starts from: the last one of run_dir if `resume`, else `checkpoint`."""
    return str(Path(cfg.run_dir) / "checkpoints" / "last.ckpt") if cfg.resume else cfg.checkpoint


def save_config(cfg: DictConfig) -> dict[str, Any]:
    """Write run_dir/config.yaml, resolved and enough to repeat the run elsewhere; return it as plain data."""
    config = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(config, dict)
    run_dir = Path(cfg.run_dir)
    portable = OmegaConf.to_yaml(OmegaConf.create(_with_reference(config, str(run_dir))))
    if int(os.environ.get("LOCAL_RANK", "0")) == 0:
        run_dir.mkdir(parents=True, exist_ok=True)
        (run_dir / "config.yaml").write_text(
            f"# Repeat: python train.py --config-path={run_dir} --config-name=config run_dir=NEW\n"
            "defaults:\n- _self_\n- override hydra/hydra_logging: disabled\n- override hydra/job_logging: disabled\n"
            f"hydra:\n  run:\n    dir: ${{run_dir}}\n  output_subdir: null\n{portable}"
        )
    return config  # pyright: ignore[reportReturnType]


def _with_reference(node: Any, run_dir: str, key: str | None = None) -> Any:
    """The config with ${run_dir} again where paths begin with it, so that a repeat writes into its own folder."""
    if isinstance(node, dict):
        return {k: _with_reference(v, run_dir, k) for k, v in node.items()}
    if isinstance(node, str) and node.startswith(run_dir) and key != "run_dir":
        return node.replace(run_dir, "${run_dir}", 1)
    return node


# ---- errors in words ----


@contextmanager
def readable_errors() -> Iterator[None]:
    """Turn a user's mistake into one or two lines and exit status 1; a bug, or debug=true, keeps its traceback."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra then raises, where it would print a trace of its own
    try:
        yield
    except Exception as error:
        message = explain(error, sys.argv[1:])
        if message is None or "debug=true" in sys.argv:
            raise
        sys.stderr.write(f"error: {message}\n")
        sys.exit(1)


def explain(error: Exception, overrides: list[str]) -> str | None:
    """What the user did wrong, in one or two lines; None for an error that is not the user's."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options is not None:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        return f"there is no {group} {name}{nearest(name, error.options)}; there are {', '.join(error.options)}"
    if isinstance(error, InstantiationException) and isinstance(error.__cause__, Exception):
        return explain(error.__cause__, overrides) or _first_line(error)
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key} must be given: {error.full_key}=..."
    if isinstance(error, HydraException | OmegaConfBaseException):
        return _explain_override(error, overrides)
    if type(error).__name__ == "MisconfigurationException" or _raised_on_purpose(error):
        return str(error)
    return None


def _raised_on_purpose(error: Exception) -> bool:
    """Whether a check of ours raised it: then its message is for the user."""
    if not isinstance(error, ValueError | TypeError | OSError):
        return False
    frames = traceback.extract_tb(error.__traceback__)
    return isinstance(error, ConfigError) or (bool(frames) and Path(frames[-1].filename).is_relative_to(ROOT / "src"))


def _explain_override(error: Exception, overrides: list[str]) -> str:
    """Find the override that Hydra refused, and the key that was probably meant."""
    if "Ambiguous value" in str(error) or "requires --multirun" in str(error):
        return f"{_first_line(error)}: add -m for one job per value, or quote a list: 'key=[a,b]'"
    message = _first_line(error)
    refused = [o for o in overrides if "=" in o and f"'{o.split('=')[0].lstrip('+~')}'" in message]
    if not refused:
        return f"{message} {_first_line(error.__cause__) if error.__cause__ else ''}".strip()
    key, value = refused[0].split("=", 1)
    config = _compose_without(refused[0], overrides)
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else None
    if isinstance(node, DictConfig) and "_target_" in node:
        signature = _signature_of_node(parent, node["_target_"])
        if signature and name in signature.annotations:
            return f"{key} stands at its default, which conf does not name; set it with +{key}={value}"
    return f"there is no key {key}{nearest(key, [*_dotted_keys(config), *_groups()])}"


def _compose_without(refused: str, overrides: list[str]) -> DictConfig:
    """The config that the command line's choices of groups give, for its keys."""
    GlobalHydra.instance().clear()
    choices = [o for o in overrides if o != refused and o.split("=")[0] in _groups()]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        try:
            return compose("train", choices)
        except HydraException:
            return compose("train")


def _groups() -> list[str]:
    return [str(path.relative_to(CONF)) for path in CONF.rglob("*") if path.is_dir()]


def _dotted_keys(node: Any, path: str = "") -> Iterator[str]:
    for key in node if isinstance(node, DictConfig) else ():
        name = f"{path}.{key}" if path else str(key)
        yield name
        if not OmegaConf.is_interpolation(node, str(key)) and not OmegaConf.is_missing(node, key):
            yield from _dotted_keys(node[key], name)


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean X?` for the known word most like this one, or nothing if none is like it."""
    known = [str(k) for k in known]
    # A key given without its path (lr for model.lr) is as good as right.
    same_end = [k for k in known if k.endswith(f".{word}")]
    match = same_end[:1] or difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {match[0]}?" if match else ""


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0]
