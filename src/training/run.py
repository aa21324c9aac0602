"""One run in this process: train and test, only test, or only validate."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
from hydra.utils import instantiate
from omegaconf import DictConfig
from pytorch_lightning.callbacks import LambdaCallback

from src.core.check import check, composed
from src.core.errors import ConfigError
from src.core.explain import blamed_on
from src.core.output import is_quiet, note, set_quiet
from src.core.ranks import check_ranks, is_rank_zero, meet_anew, share
from src.core.remote import send_run
from src.core.run_config import continue_older_run, plain, save_config, with_fetched_data
from src.core.run_dir import RunDir, last_whole_checkpoint, own_run_dir, show_results
from src.training.changes import check_changes, fold_of_rows, other_options, seed_of_rows, tells_held_out_rows
from src.training.checkpoint_io import ReadCheckpoint


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
    check(cfg, has_data=datamodule is not None)
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
        start = _start_of(cfg)
        if start is not None:
            cfg = _following(cfg, start.content, datamodule)
        pl.seed_everything(cfg.seed, workers=True, verbose=False)
        data = datamodule or instantiate(with_fetched_data(cfg).datamodule, _convert_="all")
        model = instantiate(cfg.model, _convert_="all")
        config = plain(cfg)
        model.hparams.update(model=config["model"])
        trainer = _trainer(cfg, config)
        if start is not None and cfg.task == "fit" and RunDir(cfg.run_dir).config_yaml.is_file():
            # It says what was used before. From here on it may still be refused to use something else.
            trainer.callbacks.append(LambdaCallback(on_train_start=lambda *_: save_config(cfg, overrides)))
        else:
            save_config(cfg, overrides)
        if is_rank_zero():
            send_run(RunDir(cfg.run_dir).folder)  # an address that cannot be written fails now, not an epoch later
        _perform(cfg, trainer, model, data, start)
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


def _start_of(cfg: DictConfig) -> ReadCheckpoint | None:
    """The checkpoint that the run continues or scores, if there is one."""
    if cfg.resume and cfg.task == "fit" and (found := last_whole_checkpoint(cfg.run_dir)):
        return ReadCheckpoint(str(found), is_whole=True)
    return ReadCheckpoint(cfg.checkpoint) if cfg.checkpoint else None


def _following(cfg: DictConfig, checkpoint: Any, datamodule: pl.LightningDataModule | None) -> DictConfig:
    """The config, checked against the checkpoint; to score it, with the seed that drew the rows it held out."""
    config = plain(cfg)
    if datamodule is not None:
        config["datamodule"]["_target_"] = type(datamodule).__name__  # under which the checkpoint has its state
    check_changes(config, checkpoint)
    if cfg.task == "fit":
        return cfg
    say = note if is_rank_zero() else lambda text: None
    if not tells_held_out_rows(config, checkpoint):
        say(
            "the checkpoint does not say which rows its training held out: give the seed and fractions of that training"
        )
    if others := other_options(config, checkpoint):
        say(f"scored with other values than trained with: {', '.join(others)}")
    seed = seed_of_rows(config, checkpoint)
    drawn = {} if seed is None or cfg.datamodule.get("seed", seed) == seed else {"seed": seed}
    if "fold" in cfg.datamodule and cfg.datamodule.fold is None:
        drawn |= fold_of_rows(config, checkpoint)
    if drawn:
        given = ", ".join(f"datamodule.{name}={value}" for name, value in drawn.items())
        say(f"the held-out rows are those of the checkpoint's training: {given}")
        cfg = cfg.copy()
        cfg.datamodule.update(drawn)
    return cfg


def _trainer(cfg: DictConfig, config: dict[str, Any]) -> Any:
    """The Trainer with its callbacks and loggers, which know the config."""
    parts = {
        name: [part for part in instantiate(cfg[name], _convert_="all").values() if part is not None]  # NAME=null
        for name in ("callbacks", "logger")
    }
    trainer = instantiate(cfg.trainer, **parts, _convert_="all")
    data = cfg.datamodule
    meet_anew()
    check_ranks(trainer, share(data.batch_size, data.get("global_batch_size"), trainer.world_size))
    for logger in trainer.loggers:
        logger.log_hyperparams(config)
    return trainer


def _perform(
    cfg: DictConfig,
    trainer: Any,
    model: pl.LightningModule,
    data: pl.LightningDataModule,
    start: ReadCheckpoint | None,
) -> None:
    """Do the config's task."""
    trainer.strategy.checkpoint_io.given = start
    checkpoint = start.path if start is not None else None
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
