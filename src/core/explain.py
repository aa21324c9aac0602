"""Words a mistake in one or two lines: the rule, what came, the way out. Imports no torch.

Hydra's own messages name its insides; `explain` finds the override that it refused and what was probably meant.
"""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, InstantiationException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from src.core.errors import CONF, ROOT, ConfigError, nearest
from src.core.signatures import signature_of

# What gloo and NCCL say of another process that is gone.
LOST = ("Connection closed by peer", "Connection reset by peer", "remote process exited")


class JobFailed(Exception):
    """A job of a multirun failed; the text is what it has told its own terminal or log."""


@contextmanager
def readable_errors(config_name: str) -> Iterator[None]:
    """Turn a user's mistake into one or two lines and exit status 1; a bug, or debug=true, keeps its traceback.

    Stands around the whole program, and again inside its job: there it speaks before Hydra adds a line of its own.
    In a multirun the other jobs go on, and Hydra raises the first failure again at the end. But where a job is several
    processes, none may leave the others to wait for it in the next job.
    """
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra then raises, where it would print a trace of its own
    try:
        yield
    except JobFailed as failure:
        if failure.__cause__ is None:  # it came pickled, from a job on another machine: only the text is left
            sys.stderr.write(str(failure))
        sys.exit(1)
    except Exception as error:
        message = explain(error, sys.argv[1:], config_name)
        report = traceback.format_exc() if message is None or _wants_traceback() else f"error: {message}\n"
        sys.stderr.write(report)
        if _in_multirun_job() and "LOCAL_RANK" not in os.environ:
            raise JobFailed(report) from error
        sys.exit(1)
    except KeyboardInterrupt:
        sys.stderr.write("stopped by SIGINT\n")
        sys.exit(130)


def _wants_traceback() -> bool:
    overrides = HydraConfig.get().overrides.task if HydraConfig.initialized() else sys.argv
    return "debug=true" in overrides


def _in_multirun_job() -> bool:
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def explain(error: Exception, overrides: list[str], config_name: str) -> str | None:
    """What the user did wrong, in one or two lines; None for an error that is not the user's."""
    if isinstance(error, MissingConfigException) and "submitit" in str(error):
        return "hydra/launcher=slurm needs submitit: pip install --constraint constraints.txt --editable '.[slurm]'"
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options is not None:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        more = "; python train.py --list tells of each" if group.startswith("experiment") else ""
        return f"there is no {group} {name}{nearest(name, error.options)}; there are {', '.join(error.options)}{more}"
    if isinstance(error, OverrideParseException):
        return f"{error.override!r} is no key=value; quote a value with spaces, brackets or =: \"key='a (1).png'\""
    if isinstance(error, InstantiationException) and isinstance(error.__cause__, Exception):
        return explain(error.__cause__, overrides, config_name) or _first_line(error)
    if isinstance(error, MissingMandatoryValue):
        key = error.full_key or str(error).rpartition(": ")[2]
        return f"{key} must be given: {key}=..."
    if isinstance(error, HydraException | OmegaConfBaseException):
        return _explain_override(error, overrides, config_name)
    if type(error).__name__ == "MisconfigurationException" or _raised_on_purpose(error) or _raised_by_submitit(error):
        return str(error)
    if isinstance(error, RuntimeError) and any(words in str(error) for words in LOST):
        return "another process of this run has failed; its own error says why"
    return None


def _raised_on_purpose(error: Exception) -> bool:
    """Whether a check of ours raised it: then its message is for the user."""
    if not isinstance(error, ValueError | TypeError | OSError):
        return False
    frames = traceback.extract_tb(error.__traceback__)
    own = (ROOT / "src", ROOT / "predict.py")
    return isinstance(error, ConfigError) or any(frames and Path(frames[-1].filename).is_relative_to(o) for o in own)


def _raised_by_submitit(error: Exception) -> bool:
    """What sbatch said, or that a job of an array was killed."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and "submitit" in Path(frames[-1].filename).parts


def _explain_override(error: Exception, overrides: list[str], config_name: str) -> str:
    """Find the override that Hydra refused, and the key that was probably meant."""
    if "Ambiguous value" in str(error) or "requires --multirun" in str(error):
        return f"{_first_line(error)}: add -m for one job per value, or quote a list: 'key=[a,b]'"
    message = _first_line(error)
    refused = [o for o in overrides if "=" in o and f"'{o.split('=')[0].lstrip('+~')}'" in message]
    if not refused:
        return f"{message} {_first_line(error.__cause__) if error.__cause__ else ''}".strip()
    key, value = refused[0].split("=", 1)
    config = _compose_without(refused[0], overrides, config_name)
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else None
    if isinstance(node, DictConfig) and "_target_" in node:
        signature = signature_of(node["_target_"])
        if signature and name in signature.annotations:
            return f"{key} stands at its default, which conf does not name; set it with +{key}={value}"
    return f"there is no key {key}{nearest(key, [*_dotted_keys(config), *_groups()])}"


def _compose_without(refused: str, overrides: list[str], config_name: str) -> DictConfig:
    """The config that the command line's choices of groups give, for its keys."""
    GlobalHydra.instance().clear()
    choices = [o for o in overrides if o != refused and o.split("=")[0] in _groups()]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        try:
            return compose(config_name, choices)
        except HydraException:
            return compose(config_name)


def _groups() -> list[str]:
    return [str(path.relative_to(CONF)) for path in CONF.rglob("*") if path.is_dir()]


def _dotted_keys(node: Any, path: str = "") -> Iterator[str]:
    for key in node if isinstance(node, DictConfig) else ():
        name = f"{path}.{key}" if path else str(key)
        yield name
        if not OmegaConf.is_interpolation(node, str(key)) and not OmegaConf.is_missing(node, key):
            yield from _dotted_keys(node[key], name)


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0]
