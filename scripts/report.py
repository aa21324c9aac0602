"""Makes the report.html of a run again from the files in its folder; also of a stopped run, as far as it came.

    python -m scripts.report RUN_DIR

The page shows what the model of checkpoints/best.ckpt, or else last.ckpt, has learned; this runs on the CPU and needs
the data. The page is the one that the run wrote, except for the last digits of numbers that a GPU or half precision
computed. RUN_DIR may be an fsspec address (docs/remote.md): the page goes there too.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from scripts.shared.arguments import command_line
from src.core.errors import ConfigError
from src.core.explain import readable_errors
from src.core.output import note, show
from src.core.remote import Copy, folder_for, is_address
from src.core.run_config import in_newest_format, with_fetched_data
from src.core.run_dir import RunDir
from src.report.parts import Section
from src.report.run import Subject, sections_of, write_report
from src.training.checkpoint import load_model
from src.training.checkpoint_io import read_checkpoint


def rebuild(address: str) -> Path:
    """Write the page of a run; returns its path.

    Raises:
        ConfigError: the folder does not hold a run.
    """
    run = RunDir(folder_for(address, "cache/runs"))
    if is_address(address):
        Copy(address, run.folder).fetch()
    if not run.config_yaml.is_file():
        raise ConfigError(f"{address} does not hold a run: it has no config.yaml")
    config = config_of(run)
    path = write_report(run.folder, view_of(config, run))
    if is_address(address):
        Copy(address, run.folder).send()
    return path


def config_of(run: RunDir) -> DictConfig:
    """Read the config that a run has saved."""
    config = OmegaConf.load(run.config_yaml)
    assert isinstance(config, DictConfig)
    for key in ("defaults", "hydra"):
        config.pop(key, None)
    config.run_dir = str(run.folder)
    return in_newest_format(config)


def view_of(config: DictConfig, run: RunDir) -> list[Section]:
    """Make the sections that the config's view shows of the run's best checkpoint; empty without view or checkpoint."""
    chosen = OmegaConf.select(config, "callbacks.report.view")
    checkpoint = next((path for path in (run.best_ckpt, run.last_ckpt) if path.is_file()), None)
    if chosen is None:
        return []
    if checkpoint is None:
        note(f"{run.checkpoints} has no checkpoint; the page shows nothing of the model")
        return []
    view: Any = instantiate(chosen, _convert_="all")
    return sections_of(view, lambda: subject(config, checkpoint))


def subject(config: DictConfig, checkpoint: Path) -> Subject:
    """Load the model of a checkpoint, and its data as that run had them."""
    model = load_model(checkpoint)
    datamodule = instantiate(with_fetched_data(config).datamodule, _convert_="all")
    datamodule.prepare_data()
    datamodule.setup("test")
    name = type(datamodule).__qualname__  # Lightning's key for a datamodule's state
    saved = read_checkpoint(checkpoint)
    if name in saved:
        datamodule.load_state_dict(saved[name])
    return model, datamodule


def main(arguments: Sequence[str] | None = None) -> None:
    """Exit with status 1, and a line that says why, if there is no such run."""
    parser = command_line("report", __doc__)
    parser.add_argument("run_dir", help="a run's folder")
    with readable_errors("train"):
        show(rebuild(parser.parse_args(arguments).run_dir))


if __name__ == "__main__":
    main()
