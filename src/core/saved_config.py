"""Reads the config.yaml of a run as plain data; the file may come from anyone."""

from pathlib import Path
from typing import Any

import yaml

from src.core.errors import ConfigError

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where PyYAML has it
MAX_BYTES = 1 << 20  # of a file; those of this project's runs have about 5,000
MAX_DEPTH = 50


def read_saved_config(path: Path) -> dict[Any, Any]:
    """Return what the file holds. Interpolations stay text, and nothing is resolved.

    Raises:
        ConfigError: it is not YAML, or refers to its own parts, or is too large: a few lines could fill the memory.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path} has more than {MAX_BYTES:,} bytes: it is not the config of a run")
        text = path.read_text(encoding="utf-8")
        _check_shape(text, path)
        config = yaml.load(text, LOADER)
    except ConfigError:
        raise
    except (yaml.YAMLError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    return config if isinstance(config, dict) else {}


def _check_shape(text: str, path: Path) -> None:
    depth = 0
    for event in yaml.parse(text, LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or depth > MAX_DEPTH:
            reason = "refers to its own parts (*...)" if depth <= MAX_DEPTH else "is nested too deeply"
            raise ConfigError(f"{path} {reason}, which a saved config does not; nothing of it is used")


def part_of(node: Any, *names: str) -> dict[str, Any]:
    """A dict within nested dicts; an empty one if there is none, or something else."""
    for name in names:
        node = node.get(name) if isinstance(node, dict) else None
    return node if isinstance(node, dict) else {}


def has_scoring(config: dict[Any, Any]) -> bool:
    """Whether the config names the score that chooses the best checkpoint, as all of train.py's do."""
    return isinstance(part_of(config, "scoring").get("monitor"), str)


def with_folder(node: Any, before: str, after: str) -> Any:
    """The config with one folder in place of another, at the beginning of each path; ${run_dir} is such a folder."""
    if isinstance(node, dict):
        return {key: with_folder(value, before, after) for key, value in node.items()}
    if isinstance(node, str) and (node == before or node.startswith(f"{before}/")):
        return node.replace(before, after, 1)
    return node
