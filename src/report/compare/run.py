"""What a run has left in its folder: its config, its final scores, its curves. Read without torch."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from src.core.errors import ConfigError
from src.core.migrations import update_config
from src.core.run_dir import RunDir
from src.core.saved_config import has_scoring, read_saved_config
from src.report.logged import logged_numbers


@dataclass(frozen=True)
class Run:
    """A run's folder.

    Attributes:
        name: its path below the folder that holds all compared runs.
        metrics: metrics.json; empty until the run has written it.
    """

    folder: Path
    name: str
    config: dict[str, Any]
    metrics: dict[str, float | None]

    @property
    def metric(self) -> tuple[str, str]:
        """The score that chooses the best checkpoint, and `max` or `min`, whichever is better."""
        return self.config["scoring"]["monitor"], str(self.config["scoring"].get("mode"))

    @property
    def is_whole(self) -> bool:
        """Whether it has finished: train.py then leaves a mark, and most runs have test scores."""
        return RunDir(self.folder).finished.is_file() or any(name.startswith("test/") for name in self.metrics)

    def curves(self, names: Iterable[str]) -> dict[str, pd.Series]:
        """Those of the named columns of metrics.csv that exist, by step."""
        table = logged_numbers(RunDir(self.folder).metrics_csv, {"step", *names}).set_index("step")
        columns = {str(name): pd.Series(table[name]).dropna() for name in table}
        # A resumed run logs some steps twice: the last one counts.
        return {name: column.groupby(level="step").last() for name, column in columns.items() if len(column)}


def runs_in(paths: Iterable[str]) -> list[Run]:
    """The runs in these folders or anywhere below them, each once, ordered by name; files are skipped.

    Raises:
        ConfigError: names a path that does not exist, a folder without a run, or a config that is not YAML.
    """
    found: dict[Path, dict[str, Any]] = {}
    for path in map(Path, paths):
        if path.is_file():
            continue  # a shell's glob over a multirun's folder finds files too
        if not path.is_dir():
            raise ConfigError(f"there is no folder {path}")
        below = dict(_configs_below(path.resolve()))
        if not below:
            raise ConfigError(f"{path} holds no run: neither it nor a folder below it has a run's config.yaml")
        found |= below
    if not found:
        raise ConfigError("give folders of runs, or a folder that holds some")
    top = Path(os.path.commonpath([folder.parent for folder in found]))
    runs = [
        Run(folder, str(folder.relative_to(top)), config, RunDir(folder).metrics()) for folder, config in found.items()
    ]
    return sorted(runs, key=lambda run: [(len(part), part) for part in Path(run.name).parts])  # 10 after 9


def _configs_below(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Folders of runs with their config. A run inside a run's folder is not looked for."""
    for place, below, names in os.walk(folder):
        if "config.yaml" in names:
            path = Path(place, "config.yaml")
            config = read_saved_config(path)
            if has_scoring(config):  # else not from train.py
                below.clear()
                update_config(config, path)
                yield Path(place), config
