"""The config of one run: where it writes, where its data lie, and the config.yaml that repeats it."""

import json
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from src.core.check import remove_empty
from src.core.errors import ConfigError
from src.core.files import write_text
from src.core.output import note
from src.core.ranks import is_rank_zero
from src.core.remote import Copy, folder_for, is_address, send_run
from src.core.run_dir import RunDir


def use_run_dir(cfg: DictConfig) -> None:
    """Set run_dir to the folder that Hydra made for this job: multirun jobs and ranks each know their own.

    Where run_dir is an address that folder stands for it, and gets what is there. Raises ConfigError for a run that is
    to be continued and is given a new folder each time.
    """
    hydra = HydraConfig.get()
    is_new = "${run_name:}" in OmegaConf.to_container(cfg)["run_dir"]  # pyright: ignore
    if cfg.resume in (True, "auto") and is_new and hydra.mode == RunMode.RUN:
        remove_empty(Path(hydra.runtime.output_dir))
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
    run = RunDir(cfg.run_dir)
    if is_rank_zero() and (cfg.task == "fit" or not run.config_yaml.is_file()):
        portable = {**_with_reference(config, cfg.run_dir), "run_dir": cfg.run_dir, "resume": False, "overwrite": False}
        if cfg.resume and run.config_yaml.is_file():
            _tell_changes(run.config_yaml, portable)
        text = OmegaConf.to_yaml(OmegaConf.create(portable))
        write_text(
            run.config_yaml,
            f"# Repeat: python train.py --config-path={run.folder} --config-name=config run_dir=NEW\n"
            "defaults:\n- _self_\n- override hydra/hydra_logging: disabled\n- override hydra/job_logging: disabled\n"
            f"hydra:\n  run:\n    dir: ${{folder_for:${{run_dir}},${{cache_dir}}/runs}}\n  output_subdir: null\n{text}",
        )
        _save_overrides(run)
        send_run(run.folder)  # an address that cannot be written fails now, not after the first epoch
    return config  # pyright: ignore[reportReturnType]


def _save_overrides(run: RunDir) -> None:
    """Keep the choices on the command line, without where to write, if they and conf/train.yaml make the config."""
    run.overrides_json.unlink(missing_ok=True)  # those of an older run
    if HydraConfig.initialized() and HydraConfig.get().job.config_name == "train":
        places = ("run_dir=", "resume=", "overwrite=")
        kept = [given for given in HydraConfig.get().overrides.task if not given.startswith(places)]
        write_text(run.overrides_json, json.dumps(kept))


def _tell_changes(path: Path, config: dict[Any, Any]) -> None:
    old = OmegaConf.to_container(OmegaConf.load(path))
    ignored = ("defaults", "hydra", "run_dir", "print_config", "debug")
    changed = [key for key in _differing(old, config) if key.split(".")[0] not in ignored]
    if changed:
        note(f"resumed with other values than before: {', '.join(changed)}")


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
