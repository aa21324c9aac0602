"""Formats of checkpoints and of config.yaml: what has changed since older ones, and how those are brought up to date.

`update_checkpoint` and `update_config` work on plain data as they were read, before anything is built from them. All
that reads a checkpoint does so through src/training/checkpoint_io.py, which calls the first of the two.
"""

import re
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from src.core.errors import ConfigError
from src.core.formats import MIGRATIONS, TRAIN, Migration
from src.core.saved_config import part_of

FORMAT_KEY = "fastlight_format"  # in a checkpoint and in config.yaml; a file without it is of format 1
ADDED_KEY = "fastlight_added"  # in a checkpoint that was updated: the arguments of its model that came since


def newest_format() -> int:
    """The format that this version writes."""
    return 1 + len(MIGRATIONS)


def update_checkpoint(checkpoint: Any, path: object) -> None:
    """Bring a training's checkpoint to the newest format, in place; leave other files alone.

    Raises:
        ConfigError: it is of a newer format, or asks for something that does not exist any more.
    """
    if not isinstance(checkpoint, dict) or "pytorch-lightning_version" not in checkpoint:
        return
    saved = checkpoint.get("hyper_parameters")
    model = saved.get("model") if isinstance(saved, dict) else None
    added: dict[str, Any] = {}
    for migration in _due(checkpoint, path):
        _update_node(model, migration, str(path), "model", added)
        _rename_weights(checkpoint, migration, _targets(model))
        _rename_states(checkpoint, migration)
    if added:
        checkpoint[ADDED_KEY] = added


def update_config(config: dict[Any, Any], path: object) -> dict[str, Any]:
    """Bring a run's config to the newest format, in place.

    Returns:
        The arguments that were added, by their dotted keys.

    Raises:
        ConfigError: as for update_checkpoint.
    """
    added: dict[str, Any] = {}
    for migration in _due(config, path):
        _update_arguments(config, TRAIN, migration, str(path), "", added)
        _update_node(config, migration, str(path), "", added)
    return added


def changes_since(checkpoint: dict[str, Any], model: Any) -> list[str]:
    """What a model's config does otherwise than an older checkpoint did, which has just been updated, in words."""
    found = []
    for key, kept in checkpoint.get(ADDED_KEY, {}).items():
        *parts, name = key.split(".")[1:]
        value = part_of(model, *parts).get(name)
        if value != kept:
            found.append(f"the checkpoint is from before {key}, and did what {key}={kept} does; here it is {value}")
    return found


def renamed_keys(config: Any, path: str = "") -> dict[str, str]:
    """The keys that arguments in a config of today had in older formats, dotted, and what they are called now."""
    found: dict[str, str] = {}
    for key, part in config.items() if isinstance(config, dict) else ():
        found |= renamed_keys(part, _joined(path, key))
    owner = config.get("_target_", None if path else TRAIN) if isinstance(config, dict) else None
    names: dict[str, str] = {}  # of the arguments, before: now
    for migration in reversed(MIGRATIONS):
        for before, since in migration.arguments.get(str(owner), {}).items():
            names[before] = names.get(since, since)
        owner = next((before for before, since in migration.renamed.items() if since == owner), owner)
    return found | {_joined(path, before): _joined(path, now) for before, now in names.items()}


def was_added(key: str, value: Any) -> bool:
    """Whether a migration gives an argument of this name this value. A run's folder may come from anyone."""
    name = key.rpartition(".")[2]
    return any(name in names and names[name] == value for each in MIGRATIONS for names in each.added.values())


def _due(file: dict[Any, Any], path: object) -> list[Migration]:
    """The migrations from a file's format on; the file then says that they are done."""
    number = file.get(FORMAT_KEY, 1)
    if type(number) is not int or number < 1:
        raise ConfigError(f"{path} is damaged: its {FORMAT_KEY} must be a whole number from 1 on, got {number!r}")
    if number > newest_format():
        raise ConfigError(
            f"{path} is of format {number}, and this fastlight knows formats up to {newest_format()}: update fastlight"
        )
    file[FORMAT_KEY] = newest_format()
    return MIGRATIONS[number - 1 :]


def _update_node(node: Any, migration: Migration, file: str, path: str, added: dict[str, Any]) -> None:
    """Update every `_target_` of a config and its arguments, at any depth."""
    parts = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, part in parts:
        _update_node(part, migration, file, _joined(path, key), added)
    if isinstance(node, dict) and isinstance(node.get("_target_"), str):
        node["_target_"] = migration.renamed.get(node["_target_"], node["_target_"])
        _update_arguments(node, node["_target_"], migration, file, path, added)


def _update_arguments(
    node: dict[Any, Any], owner: str, migration: Migration, file: str, path: str, added: dict[str, Any]
) -> None:
    for before, since in migration.arguments.get(owner, {}).items():
        if before in node:
            node[since] = node.pop(before)
    for name, kept in migration.removed.get(owner, {}).items():
        value = node.pop(name, kept)
        if value != kept:
            raise ConfigError(
                f"{file} was made with {_joined(path, name)}={value}, which {owner} does not have any more (it does "
                f"what {kept} did): use the fastlight that made it"
            )
    for name, value in migration.added.get(owner, {}).items():
        if name not in node:
            node[name] = deepcopy(value)
            added[_joined(path, name)] = value


def _targets(node: Any) -> set[str]:
    """Every `_target_` of a config."""
    parts = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    found = {target for part in parts for target in _targets(part)}
    target = node.get("_target_") if isinstance(node, dict) else None
    return found | {target} if isinstance(target, str) else found


def _rename_weights(checkpoint: dict[Any, Any], migration: Migration, targets: set[str]) -> None:
    patterns = [pair for target, names in migration.weights.items() if target in targets for pair in names.items()]
    if not patterns:
        return

    def renamed(name: str) -> str:
        for pattern, replacement in patterns:
            name = re.sub(pattern, replacement, name)
        return name

    # Averaging keeps the raw weights beside the averages, ResumeState gradients, FSDP's optimizers the names.
    for part in ("state_dict", "current_model_state", "optimizer_states", "resume"):
        if part in checkpoint:
            checkpoint[part] = _with_names(checkpoint[part], renamed)


def _with_names(node: Any, renamed: Callable[[str], str]) -> Any:
    """The same data with other names, whether they are keys or stand in lists."""
    if isinstance(node, dict):
        return {renamed(k) if isinstance(k, str) else k: _with_names(v, renamed) for k, v in node.items()}
    if isinstance(node, list):
        return [_with_names(part, renamed) for part in node]
    return renamed(node) if isinstance(node, str) else node


def _rename_states(checkpoint: dict[Any, Any], migration: Migration) -> None:
    """Lightning keeps the state of a callback or datamodule under its class's name, and ours that of a logger."""
    names = {_last(before): _last(since) for before, since in migration.renamed.items()} | dict(migration.states)
    resume = checkpoint.get("resume")
    loggers = resume.get("loggers") if isinstance(resume, dict) else None
    for states in (checkpoint, checkpoint.get("callbacks"), loggers):
        if not isinstance(states, dict):
            continue
        for key in list(states):
            # A callback that may be there twice has its arguments in its key: ModelCheckpoint{'monitor': ...}
            name, brace, arguments = str(key).partition("{") if key not in names else (key, "", "")
            if names.get(name, name) != name:
                states[f"{names[name]}{brace}{arguments}"] = states.pop(key)


def _joined(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def _last(name: str) -> str:
    return name.rpartition(".")[2]
