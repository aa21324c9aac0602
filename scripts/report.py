"""Write report.html of a run anew, from the files in its folder: also of one that was stopped, as far as it came.

    python -m scripts.report RUN_DIR

What the model has learned is shown of checkpoints/best.ckpt, or else last.ckpt, on the CPU, and needs the data. The
page is the one that the run wrote, but for the last digits of numbers that a GPU or half precision had computed.
RUN_DIR may be an fsspec address (docs/remote.md): the page goes there, too.
"""

import argparse
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from src.core.errors import ConfigError
from src.core.explain import readable_errors
from src.core.remote import Copy, folder_for, is_address
from src.core.run_config import with_local_data
from src.report.parts import Section
from src.report.run import Subject, sections_of, write_report
from src.training.checkpoint import load_model
from src.training.checkpoint_io import read_checkpoint


def rebuild(address: str) -> Path:
    """Write the page; returns where. Raises ConfigError if the folder holds no run."""
    run_dir = Path(folder_for(address, "cache/runs"))
    if is_address(address):
        Copy(address, run_dir).fetch()
    if not (run_dir / "config.yaml").is_file():
        raise ConfigError(f"{address} holds no run: there is no config.yaml in it")
    config = config_of(run_dir)
    path = write_report(run_dir, view_of(config))
    if is_address(address):
        Copy(address, run_dir).send()
    return path


def config_of(run_dir: Path) -> DictConfig:
    """The config that a run has saved."""
    config = OmegaConf.load(run_dir / "config.yaml")
    assert isinstance(config, DictConfig)
    for key in ("defaults", "hydra"):
        config.pop(key, None)
    config.run_dir = str(run_dir)
    return config


def view_of(config: DictConfig) -> list[Section]:
    """What the config's view shows of the run's best checkpoint; nothing if there is no view, or no training yet."""
    chosen = OmegaConf.select(config, "callbacks.report.view")
    folder = Path(config.run_dir, "checkpoints")
    checkpoint = next((folder / name for name in ("best.ckpt", "last.ckpt") if (folder / name).is_file()), None)
    if chosen is None:
        return []
    if checkpoint is None:
        sys.stderr.write(f"note: {folder} has no checkpoint; the page shows nothing of the model\n")
        return []
    view: Any = instantiate(chosen, _convert_="all")
    return sections_of(view, lambda: subject(config, checkpoint))


def subject(config: DictConfig, checkpoint: Path) -> Subject:
    """The model of a checkpoint, and its data as that run had them."""
    model = load_model(checkpoint)
    datamodule = instantiate(with_local_data(config).datamodule, _convert_="all")
    datamodule.prepare_data()
    datamodule.setup("test")
    name = type(datamodule).__qualname__  # under which Lightning keeps a datamodule's state
    saved = read_checkpoint(checkpoint)
    if name in saved:
        datamodule.load_state_dict(saved[name])
    return model, datamodule


def main() -> None:
    """Exit status 1, and a line that says why, if there is no such run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_dir", help="a run's folder")
    with readable_errors("train"):
        print(rebuild(parser.parse_args().run_dir))


if __name__ == "__main__":
    main()
