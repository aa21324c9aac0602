"""Explains a user's mistake in one or two lines: the rule, what was given, what to do. Imports no torch.

Hydra's own messages are about its internals; `explain` finds the override that was refused and what was probably meant.
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
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from src.core.errors import CONF, ROOT, ConfigError, first_line, nearest
from src.core.migrations import renamed_keys
from src.core.ranks import in_multirun
from src.core.signatures import signature_of

# What gloo and NCCL say when another process of the run has ended.
PEER_ENDED = ("Connection closed by peer", "Connection reset by peer", "remote process exited")


class JobFailed(Exception):
    """A job of a multirun failed; the text is what the job has written to its own terminal or log."""


@contextmanager
def readable_errors(config_name: str) -> Iterator[None]:
    """Turn a user's mistake into one or two lines and exit status 1; a bug, or debug=true, keeps its traceback.

    It stands around the whole program and again inside its job, where it speaks before Hydra adds a line of its own. In
    a multirun the other jobs continue, and Hydra raises the first failure again at the end. A job of several processes
    ends the whole multirun: the others would wait for this process in the next job.
    """
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra then raises instead of printing a trace of its own
    try:
        yield
    except JobFailed as failure:
        if failure.__cause__ is None:  # it came pickled from another machine, where nobody has seen the text
            sys.stderr.write(str(failure))
        sys.exit(1)
    except Exception as error:
        message = explain(error, sys.argv[1:], config_name)
        report = traceback.format_exc() if message is None or _wants_traceback() else f"error: {message}\n"
        sys.stderr.write(report)
        if in_multirun() and "LOCAL_RANK" not in os.environ:
            raise JobFailed(report) from error
        sys.exit(1)
    except KeyboardInterrupt:
        sys.stderr.write("stopped by SIGINT\n")
        sys.exit(130)


# Where Lightning, and callbacks of any kind, take up what a checkpoint holds.
RESTORING = {"restore_training_state", "_restore_modules_and_callbacks", "load_state_dict", "on_load_checkpoint"}
RESTORING |= {"on_fit_start", "on_train_start"}  # for what cannot be taken up earlier


@contextmanager
def blamed_on(path: object, *, only_while_restoring: bool = False) -> Iterator[None]:
    """Within the block, an error that no check foresaw names the file that is read: nobody has checked all it holds.

    Args:
        path: the file, or words for it; None: errors stay as they are.
        only_while_restoring: leave errors alone that come later in a training.

    Raises:
        ConfigError: in place of any error that is not a user's mistake.
    """
    try:
        yield
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        is_later = only_while_restoring and not RESTORING & {frame.name for frame in frames}
        is_told = is_for_the_user(error) or type(error).__name__ == "MisconfigurationException"
        if path is None or is_later or is_told:
            raise
        raise ConfigError(
            f"{path} is damaged or from another program, or this is a fault of fastlight "
            f"({type(error).__name__}: {first_line(error)}); debug=true shows more"
        ) from error


def _wants_traceback() -> bool:
    overrides = HydraConfig.get().overrides.task if HydraConfig.initialized() else sys.argv
    return "debug=true" in overrides


def explain(error: Exception, overrides: list[str], config_name: str) -> str | None:
    """What the user did wrong, in one or two lines; None if the error is not the user's."""
    if isinstance(error, MissingConfigException) and "submitit" in str(error):
        return "hydra/launcher=slurm needs submitit: pip install --constraint constraints.txt --editable '.[slurm]'"
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options is not None:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        more = "; python train.py --list describes them" if group.startswith("experiment") else ""
        return f"there is no {group} {name}{nearest(name, error.options)}; there are {', '.join(error.options)}{more}"
    if isinstance(error, OverrideParseException):
        return f"{error.override!r} is not key=value; quote a value with spaces, brackets or =: \"key='a (1).png'\""
    if isinstance(error, InstantiationException) and isinstance(error.__cause__, Exception):
        return explain(error.__cause__, overrides, config_name) or first_line(error)
    if isinstance(error, MissingMandatoryValue):
        key = error.full_key or str(error).rpartition(": ")[2]
        return f"{key} must be given: {key}=..."
    if isinstance(error, HydraException | OmegaConfBaseException):
        return _explain_override(error, overrides, config_name)
    if type(error).__name__ == "MisconfigurationException" or is_for_the_user(error):
        return str(error)
    if isinstance(error, RuntimeError) and any(words in str(error) for words in PEER_ENDED):
        return "another process of this run has failed; its own error says why"
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"cannot use {error.filename}: {error.strerror}; name another place, or make this one usable"
    return None


def is_for_the_user(error: Exception) -> bool:
    """Whether a check of this project raised the error, or submitit: sbatch's words, or that a job was killed."""
    frames = traceback.extract_tb(error.__traceback__)
    place = Path(frames[-1].filename) if frames else Path()
    is_ours = place.is_relative_to(ROOT / "src") or place == ROOT / "predict.py"
    return (
        isinstance(error, ConfigError)
        or (is_ours and isinstance(error, ValueError | TypeError | OSError))
        or "submitit" in place.parts
    )


def _explain_override(error: Exception, overrides: list[str], config_name: str) -> str:
    """Find the override that Hydra refused, and the key that was probably meant."""
    message = first_line(error)
    if "Ambiguous value" in str(error) or "requires --multirun" in str(error):
        return f"{message}: add -m for one job per value, or quote a list: 'key=[a,b]'"
    refused = [o for o in overrides if "=" in o and f"'{o.split('=')[0].lstrip('+~')}'" in message]
    if not refused:
        return f"{message} {first_line(error.__cause__) if error.__cause__ else ''}".strip()
    key, value = refused[0].split("=", 1)
    config = _compose_without(refused[0], overrides, config_name)
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else None
    if isinstance(node, DictConfig) and "_target_" in node:
        signature = signature_of(node["_target_"])
        if signature and name in signature.annotations:
            return f"{key} has its default, which conf does not name; set it with +{key}={value}"
    now = renamed_keys(OmegaConf.to_container(config)).get(key)
    if now is not None:
        return f"{key} is called {now} now: give {now}={value}"
    return f"there is no key {key}{nearest(key, [*_dotted_keys(config), *_groups()])}"


def _compose_without(refused: str, overrides: list[str], config_name: str) -> DictConfig:
    """The config of the groups that the command line chooses, for its keys."""
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
