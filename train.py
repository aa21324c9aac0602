"""Compose a config, fit, test: `python train.py experiment=NAME [key=value ...]`.

Nothing here imports torch before the config is known to be right, so that --help, --cfg and mistakes answer at once.
"""

import os

import hydra
from omegaconf import DictConfig

from src.config import check, checkpoint_to_load, save_config, use_run_dir
from src.errors import ROOT, readable_errors


def run(cfg: DictConfig) -> None:
    """Fit and test, or only test or validate, what a checked config describes."""
    import pytorch_lightning as pl
    from hydra.utils import instantiate

    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    datamodule = instantiate(cfg.datamodule, _convert_="all")
    model = instantiate(cfg.model, _convert_="all")
    config = save_config(cfg)
    model.hparams.update(model=config["model"])
    callbacks = instantiate(cfg.callbacks, _convert_="all")
    loggers = instantiate(cfg.logger, _convert_="all")
    trainer = instantiate(
        cfg.trainer, callbacks=list(callbacks.values()), logger=list(loggers.values()), _convert_="all"
    )
    for logger in trainer.loggers:
        logger.log_hyperparams(config)

    checkpoint = checkpoint_to_load(cfg)
    if cfg.task == "fit":
        trainer.fit(model, datamodule, ckpt_path=checkpoint, weights_only=True)
        if trainer.global_step:  # not after a mere search for a learning rate
            best = trainer.checkpoint_callback.best_model_path if trainer.checkpoint_callback else None
            trainer.test(model, datamodule, ckpt_path=best or None, weights_only=True, verbose=False)
    else:
        score = trainer.test if cfg.task == "test" else trainer.validate
        score(model, datamodule, ckpt_path=checkpoint, weights_only=True, verbose=False)
    if trainer.is_global_zero:
        for name, value in sorted(trainer.callback_metrics.items()):
            print(f"{name:26}{value:#.4g}")
        print(f"{cfg.run_dir}: {', '.join(sorted(os.listdir(cfg.run_dir)))}")


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(cfg: DictConfig) -> None:
    """Check the config, then run it in its run_dir."""
    with readable_errors("train"):
        use_run_dir(cfg)
        check(cfg)
        run(cfg)


if __name__ == "__main__":
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with readable_errors("train"):
        main()
