"""One run in this process: train and test, only test, or only validate."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
from hydra.utils import instantiate
from omegaconf import DictConfig

from src.core.check import check, composed
from src.core.errors import ConfigError
from src.core.explain import blamed_on
from src.core.output import is_quiet, set_quiet
from src.core.ranks import check_ranks, is_rank_zero, share
from src.core.remote import send_run
from src.core.run_config import continue_older_run, save_config, with_fetched_data
from src.core.run_dir import RunDir, last_whole_checkpoint, own_run_dir, show_results


@dataclass(frozen=True)
class Result:
    """What a run leaves.

    Attributes:
        scores: the final numbers by name, as in metrics.json; NaN where that has null.
        run_dir: the files of the run.
        model: the model in evaluation mode, with the weights that were scored last.
        datamodule: the data of the run.
    """

    scores: dict[str, float]
    run_dir: RunDir
    model: pl.LightningModule
    datamodule: pl.LightningDataModule


def fit(overrides: Sequence[str], *, datamodule: pl.LightningDataModule | None = None) -> Result:
    """Do what `python train.py OVERRIDES` does, in this process, and return what it leaves.

    Args:
        overrides: key=value as on the command line, with run_dir=PATH among them. `quiet=true` prints no scores.
        datamodule: the data to use in place of those that the config describes.

    Raises:
        ConfigError: a key or a value is wrong, or run_dir holds another run.
    """
    if not any(given.startswith("run_dir=") for given in overrides):
        raise ConfigError("fit needs run_dir=PATH among its overrides")
    cfg = composed(overrides)
    check(cfg)
    with own_run_dir(cfg):
        return run(cfg, overrides=overrides, datamodule=datamodule)


def run(
    cfg: DictConfig, *, overrides: Sequence[str] | None = None, datamodule: pl.LightningDataModule | None = None
) -> Result:
    """Fit and test, or only test or validate, what a checked config describes.

    Args:
        cfg: from train.py, with a local run_dir that this process owns.
        overrides: the choices that made the config, to be kept in run_dir; None if they are not known.
        datamodule: the data to use in place of those that the config describes.
    """
    with _quiet_if(cfg.get("quiet", False)):
        continue_older_run(cfg, overrides or ())
        pl.seed_everything(cfg.seed, workers=True, verbose=False)
        data = datamodule or instantiate(with_fetched_data(cfg).datamodule, _convert_="all")
        model = instantiate(cfg.model, _convert_="all")
        config = save_config(cfg, overrides)
        if is_rank_zero():
            send_run(RunDir(cfg.run_dir).folder)  # an address that cannot be written fails now, not an epoch later
        model.hparams.update(model=config["model"])
        trainer = _trainer(cfg, config)
        _perform(cfg, trainer, model, data)
        show_results(cfg.run_dir, trainer.callback_metrics)
    return Result(_scores(trainer, RunDir(cfg.run_dir)), RunDir(cfg.run_dir), model.eval(), data)


@contextmanager
def _quiet_if(quiet: bool) -> Iterator[None]:
    before = is_quiet()
    set_quiet(before or quiet)
    try:
        yield
    finally:
        set_quiet(before)


def _trainer(cfg: DictConfig, config: dict[str, Any]) -> Any:
    """The Trainer with its callbacks and loggers, which know the config."""
    parts = {name: list(instantiate(cfg[name], _convert_="all").values()) for name in ("callbacks", "logger")}
    trainer = instantiate(cfg.trainer, **parts, _convert_="all")
    data = cfg.datamodule
    check_ranks(trainer, share(data.batch_size, data.get("global_batch_size"), trainer.world_size))
    for logger in trainer.loggers:
        logger.log_hyperparams(config)
    return trainer


def _perform(cfg: DictConfig, trainer: Any, model: pl.LightningModule, data: pl.LightningDataModule) -> None:
    """Do the config's task."""
    checkpoint = cfg.checkpoint
    if cfg.resume and cfg.task == "fit" and (found := last_whole_checkpoint(cfg.run_dir)):
        checkpoint = str(found)
        trainer.strategy.checkpoint_io.known_as_whole = checkpoint
    if cfg.task != "fit":
        with blamed_on(checkpoint, only_while_restoring=True):
            getattr(trainer, cfg.task)(model, data, ckpt_path=checkpoint, weights_only=True, verbose=False)
        return
    with blamed_on(checkpoint, only_while_restoring=True):
        trainer.fit(model, data, ckpt_path=checkpoint, weights_only=True)
    if trainer.global_step:  # not after a mere search for a learning rate
        trainer.test(model, data, ckpt_path=trainer.best_checkpoint(), weights_only=True, verbose=False)


def _scores(trainer: pl.Trainer, run_dir: RunDir) -> dict[str, float]:
    scores = {name: float(value) for name, value in trainer.callback_metrics.items()}
    written = run_dir.metrics() if is_rank_zero() else {}  # also times and speeds, and a training's in forked processes
    return scores | {name: math.nan if value is None else value for name, value in written.items()}
