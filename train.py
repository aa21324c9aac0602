"""Compose a config, fit, test: `python train.py experiment=NAME [key=value ...]`.

Nothing here imports torch before the config is known to be right, so that --help, --cfg and mistakes answer at once.
"""

import os

import hydra
from omegaconf import DictConfig

from src.core.check import check
from src.core.console import list_if_asked, print_if_asked
from src.core.errors import ROOT
from src.core.explain import readable_errors
from src.core.ranks import check_ranks
from src.core.run_config import save_config, use_run_dir, with_local_data
from src.core.run_dir import checkpoint_to_load, own_run_dir, show_results
from src.core.signals import exit_on_signals


def run(cfg: DictConfig) -> None:
    """Fit and test, or only test or validate, what a checked config describes."""
    import pytorch_lightning as pl
    from hydra.utils import instantiate

    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    datamodule = instantiate(with_local_data(cfg).datamodule, _convert_="all")
    model = instantiate(cfg.model, _convert_="all")
    config = save_config(cfg)
    model.hparams.update(model=config["model"])
    parts = {name: list(instantiate(cfg[name], _convert_="all").values()) for name in ("callbacks", "logger")}
    trainer = instantiate(cfg.trainer, **parts, _convert_="all")
    check_ranks(trainer, cfg.datamodule.batch_size)
    for logger in trainer.loggers:
        logger.log_hyperparams(config)
    checkpoint = checkpoint_to_load(cfg)
    if cfg.task == "fit":
        trainer.fit(model, datamodule, ckpt_path=checkpoint, weights_only=True)
        if trainer.global_step:  # not after a mere search for a learning rate
            trainer.test(model, datamodule, ckpt_path=trainer.best_checkpoint(), weights_only=True, verbose=False)
    else:
        getattr(trainer, cfg.task)(model, datamodule, ckpt_path=checkpoint, weights_only=True, verbose=False)
    show_results(cfg.run_dir, trainer.callback_metrics)


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(cfg: DictConfig) -> None:
    """Check the config, then run it in its run_dir."""
    with readable_errors("train"), exit_on_signals(requeue=bool(cfg.resume)):
        use_run_dir(cfg)
        check(cfg)
        print_if_asked(cfg)
        with own_run_dir(cfg):
            run(cfg)


if __name__ == "__main__":
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with readable_errors("train"):
        list_if_asked()
        main()
