"""The config of one run: where it writes, where its data are, and the config.yaml that repeats it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from src.core.errors import ConfigError
from src.core.files import write_text
from src.core.migrations import FORMAT_KEY, newest_format, update_config, was_added
from src.core.output import note
from src.core.ranks import is_rank_zero
from src.core.remote import Copy, folder_for, is_address
from src.core.run_dir import RunDir
from src.core.saved_config import read_saved_config


def job_folder() -> Path:
    """The folder that Hydra made for this job: multirun jobs and ranks each know their own."""
    return Path(HydraConfig.get().runtime.output_dir)


def job_overrides() -> list[str] | None:
    """The choices on this job's command line; None if they apply to another config than conf/train.yaml."""
    hydra = HydraConfig.get()
    return list(hydra.overrides.task) if hydra.job.config_name == "train" else None


def set_run_dir(cfg: DictConfig) -> str | None:
    """Set run_dir to the job's folder. Returns the address for which this folder stands, if there is one.

    Raises:
        ConfigError: the run is to be resumed, but gets a new folder each time.
    """
    hydra = HydraConfig.get()
    is_new = "${run_name:}" in OmegaConf.to_container(cfg)["run_dir"]  # pyright: ignore
    if cfg.resume in (True, "auto") and is_new and hydra.mode == RunMode.RUN:
        raise ConfigError(f"resume={str(cfg.resume).lower()} continues the run in run_dir: give run_dir=PATH")
    given, cfg.run_dir = cfg.run_dir, str(job_folder())
    if not is_address(given):
        return None
    return f"{given}/{hydra.sweep.subdir}" if hydra.mode == RunMode.MULTIRUN else given


def fetch_run(cfg: DictConfig, address: str | None) -> None:
    """Bring to run_dir what its address holds; of several ranks the first does it, unless all are to resume."""
    if address is not None and (is_rank_zero() or cfg.resume):
        Copy(address, Path(cfg.run_dir)).fetch()


def with_fetched_data(cfg: DictConfig) -> DictConfig:
    """The config; where data_dir is an address, fetch it, and name the local folder in a copy of the config."""
    if not is_address(cfg.data_dir):
        return cfg
    local = cfg.copy()
    local.data_dir = fetched_data(cfg.data_dir, cfg.cache_dir)
    return local


def in_newest_format(cfg: DictConfig) -> DictConfig:
    """The config; that of an older run, which is to be repeated, with what has changed since.

    Raises:
        ConfigError: it is of a newer format, or asks for something that does not exist any more.
    """
    if cfg.get(FORMAT_KEY) == newest_format():
        return cfg
    config: Any = OmegaConf.to_container(cfg)
    update_config(config, "the run's config.yaml")
    updated = DictConfig(config)
    OmegaConf.set_struct(updated, True)
    return updated


def continue_older_run(cfg: DictConfig, overrides: Sequence[str]) -> None:
    """Let a run that began before an upgrade do what it did, where conf has new keys; a note names them.

    It is the run that is resumed or, if a checkpoint is continued or scored, the run of that checkpoint. The first
    resume writes kept.json: from then on config.yaml is of the newest format.

    Args:
        cfg: gets the values.
        overrides: the command line; its keys stay as given.
    """
    folder = cfg.run_dir if cfg.resume else cfg.checkpoint and Path(cfg.checkpoint).parent.parent
    run = RunDir(folder or cfg.run_dir)
    old = _saved(run.config_yaml) if folder else None
    if old is None:
        return
    added = update_config(old, run.config_yaml) | {k: v for k, v in run.kept().items() if was_added(k, v)}
    given = {override.split("=", 1)[0].lstrip("+~") for override in overrides}
    kept = {key: value for key, value in added.items() if key not in given and _differs(cfg, old, key, value)}
    for key, value in kept.items():
        OmegaConf.update(cfg, key, value, merge=False, force_add=True)
    if kept and is_rank_zero():
        if cfg.resume:
            write_text(run.kept_json, json.dumps(kept))
        shown = ", ".join(f"{key}={value}" for key, value in kept.items())
        note(f"the run began with an older fastlight and continues as it did: {shown}")


def _differs(cfg: DictConfig, old: dict[str, Any], key: str, value: Any) -> bool:
    """Whether an argument of a part that the old config has too is another one now."""
    part = key.rpartition(".")[0]
    target = OmegaConf.select(cfg, f"{part}._target_") if part else None
    is_same_part = target is not None and target == OmegaConf.select(OmegaConf.create(old), f"{part}._target_")
    return is_same_part and OmegaConf.select(cfg, key) != value


def fetched_data(address: str, cache_dir: str) -> str:
    """Fetch what a data_dir holds that is an address; returns the local folder."""
    folder = folder_for(address, f"{cache_dir}/data")
    if Copy(address, Path(folder)).fetch() == 0:
        raise FileNotFoundError(f"data_dir={address} holds no files")
    return folder


def plain(cfg: DictConfig) -> dict[str, Any]:
    """The resolved config as plain data."""
    config = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(config, dict)
    return config  # pyright: ignore[reportReturnType]


def save_config(cfg: DictConfig, overrides: Sequence[str] | None = None) -> None:
    """Write run_dir/config.yaml, which repeats the run elsewhere.

    If a resumed run has other values than before, a note names them. Scoring a run in its own run_dir keeps the config
    of its training.

    Args:
        overrides: the choices that made the config of conf/train.yaml, for overrides.json; None if they are not known.
    """
    config, run = plain(cfg), RunDir(cfg.run_dir)
    if is_rank_zero() and (cfg.task == "fit" or not run.config_yaml.is_file()):
        portable = {**_with_reference(config, cfg.run_dir), "run_dir": cfg.run_dir, "resume": False, "overwrite": False}
        if (cfg.resume or cfg.checkpoint) and run.config_yaml.is_file():
            _tell_changes(run.config_yaml, portable)
        text = OmegaConf.to_yaml(OmegaConf.create(portable))
        write_text(
            run.config_yaml,
            f"# Repeat: python train.py --config-path={run.folder} --config-name=config run_dir=NEW\n"
            "defaults:\n- _self_\n- override hydra/hydra_logging: disabled\n- override hydra/job_logging: disabled\n"
            f"hydra:\n  run:\n    dir: ${{folder_for:${{run_dir}},${{cache_dir}}/runs}}\n  output_subdir: null\n{text}",
        )
        run.overrides_json.unlink(missing_ok=True)  # those of an older run
        if overrides is not None:
            places = ("run_dir=", "resume=", "overwrite=")
            write_text(run.overrides_json, json.dumps([given for given in overrides if not given.startswith(places)]))


def _saved(path: Path) -> dict[str, Any] | None:
    """The config in a file, with its interpolations; None if it is damaged."""
    try:
        config = read_saved_config(path)
    except (ConfigError, OSError):
        return None
    return config or None


def _tell_changes(path: Path, config: dict[Any, Any]) -> None:
    old = _saved(path)
    if old is None:
        note(f"{path} is damaged and written anew: whether values differ from before is not known")
        return
    update_config(old, path)
    ignored = ("defaults", "hydra", "run_dir", "print_config", "quiet", "debug")
    changed = [key for key in differing(old, config) if key.split(".")[0] not in ignored]
    if changed:
        note(f"resumed with other values than before: {', '.join(changed)}")


def _with_reference(node: Any, run_dir: str) -> Any:
    """The config with ${run_dir} where paths begin with it: a repeated run then writes into its own folder."""
    if isinstance(node, dict):
        return {key: _with_reference(value, run_dir) for key, value in node.items()}
    if isinstance(node, str) and (node == run_dir or node.startswith(f"{run_dir}/")):
        return node.replace(run_dir, "${run_dir}", 1)
    return node


def differing(old: Any, new: Any, path: str = "") -> list[str]:
    """Dotted keys at which two configs differ."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return [] if old == new else [path]
    keys = dict.fromkeys([*new, *old])
    return [name for key in keys for name in differing(old.get(key), new.get(key), f"{path}.{key}".lstrip("."))]
