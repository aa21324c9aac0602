"""Makes the report.html of a run again from the files in its folder; also of a stopped run, as far as it came.

    python -m scripts.report RUN_DIR [--data-dir DATA] [--cache-dir CACHE] [--trust PACKAGE]

The page shows what the model of checkpoints/best.ckpt, or else last.ckpt, has learned; this runs on the CPU and needs
the data. The page is the one that the run wrote, except for the last digits of numbers that a GPU or half precision
computed. RUN_DIR may be an fsspec address (docs/remote.md): the page goes there too.

The run may come from anyone: of its config.yaml only classes of this project are built, it resolves nothing, and caches
are written to your cache_dir, not to one that it names. Nothing is downloaded: the data must be there.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.shared.arguments import add_trust, command_line
from src.core.errors import ConfigError
from src.core.explain import blamed_on, readable_errors
from src.core.migrations import update_config
from src.core.output import note, show
from src.core.remote import Copy, folder_for, is_address
from src.core.run_config import fetched_data
from src.core.run_dir import RunDir
from src.core.saved_config import part_of, read_saved_config, with_folder
from src.datamodules.download import without_downloads
from src.report.parts import Section
from src.report.run import Subject, sections_of, write_report
from src.training.checkpoint import load_model
from src.training.checkpoint_io import read_checkpoint
from src.training.saved_parts import build

DATA, VIEWS = ("src.datamodules",), ("src.report",)  # where the parts that a config.yaml names may be defined


def rebuild(
    address: str, *, data_dir: str | None = None, cache_dir: str | None = None, trust: Sequence[str] = ()
) -> Path:
    """Write the page of a run; returns its path.

    Args:
        address: the run's folder, or an fsspec address.
        data_dir: where its data are; None: where its config.yaml says.
        cache_dir: where to write what is derived from them; None: as train.py does.
        trust: packages whose classes and functions the run's config and checkpoint may name.

    Raises:
        ConfigError: the folder does not hold a run.
    """
    run = RunDir(folder_for(address, "cache/runs"))
    if is_address(address):
        Copy(address, run.folder).fetch()
    if not run.config_yaml.is_file():
        raise ConfigError(f"{address} does not hold a run: it has no config.yaml")
    with blamed_on(f"the run in {run.folder}"):
        config = config_of(run, data_dir, cache_dir or os.environ.get("CACHE_DIR", "cache"))
        path = write_report(run.folder, view_of(config, run, trust))
    if is_address(address):
        Copy(address, run.folder).send()
    return path


def config_of(run: RunDir, data_dir: str | None, cache_dir: str) -> dict[Any, Any]:
    """Read the config that a run has saved, with folders of this machine in place of those that it names."""
    written = read_saved_config(run.config_yaml)
    update_config(written, run.config_yaml)
    config = with_folder(written, "${run_dir}", str(run.folder))
    for key, folder in (("cache_dir", cache_dir), ("data_dir", data_dir)):
        saved = config.get(key)
        if folder is None or not saved or saved == folder:
            continue
        if key == "cache_dir":
            note(f"caches go to {folder}; the run had {saved}, which --cache-dir={saved} uses")
        config = with_folder(config, str(saved), folder) | {key: folder}
    for node in (config, config.get("datamodule")):
        if isinstance(node, dict) and (node is config or "cache_dir" in node):
            node["cache_dir"] = cache_dir  # below it may be another than at the top
    return config


def view_of(config: dict[Any, Any], run: RunDir, trust: Sequence[str]) -> list[Section]:
    """Make the sections that the config's view shows of the run's best checkpoint; empty without view or checkpoint."""
    chosen = part_of(config, "callbacks", "report").get("view")
    checkpoint = next((path for path in (run.best_ckpt, run.last_ckpt) if path.is_file()), None)
    if chosen is None:
        return []
    if checkpoint is None:
        note(f"{run.checkpoints} has no checkpoint; the page shows nothing of the model")
        return []
    view: Any = build(chosen, run.config_yaml, VIEWS, trust)
    return sections_of(view, lambda: subject(config, run, checkpoint, trust))


def subject(config: dict[Any, Any], run: RunDir, checkpoint: Path, trust: Sequence[str]) -> Subject:
    """Load the model of a checkpoint, and its data as that run had them."""
    model = load_model(checkpoint, trust)
    address = config.get("data_dir")
    if isinstance(address, str) and is_address(address):
        local = fetched_data(address, str(config["cache_dir"]))
        config = with_folder(config, address, local)
    datamodule = build(config.get("datamodule"), run.config_yaml, DATA, trust)
    with without_downloads():
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
    parser.add_argument("--data-dir", help="where its data are, if not where its config.yaml says")
    parser.add_argument("--cache-dir", help="where to write what is derived from them (CACHE_DIR, or cache)")
    add_trust(parser)
    args = parser.parse_args(arguments)
    with readable_errors("train"):
        show(rebuild(args.run_dir, data_dir=args.data_dir, cache_dir=args.cache_dir, trust=args.trust))


if __name__ == "__main__":
    main()
