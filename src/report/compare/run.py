"""What a run has left in its folder: its config, its final numbers, its curves. Read without torch."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from src.core.errors import ConfigError
from src.core.run_dir import RunDir

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where PyYAML has it


@dataclass(frozen=True)
class Run:
    """A run's folder.

    name: its path below the folder that holds all compared runs.  text: of config.yaml, with its comments.
    metrics: of metrics.json; empty as long as there is none.
    """

    folder: Path
    name: str
    text: str
    config: dict[str, Any]
    metrics: dict[str, float | None]

    @property
    def metric(self) -> tuple[str, str]:
        """The score that chooses its best checkpoint, and whether its max or its min is wanted."""
        return self.config["scoring"]["monitor"], self.config["scoring"]["mode"]

    @property
    def is_whole(self) -> bool:
        """Whether it has come to its end, where train.py leaves a mark and most runs are tested."""
        return RunDir(self.folder).finished.is_file() or any(name.startswith("test/") for name in self.metrics)

    @property
    def command(self) -> str:
        """The command line that repeats it."""
        return RunDir(self.folder).command()

    def curves(self, names: Iterable[str]) -> dict[str, pd.Series]:
        """Columns of metrics.csv by step, of those names that it has."""
        path, wanted = RunDir(self.folder).metrics_csv, {"step", *names}
        if not path.is_file() or not path.stat().st_size:
            return {}
        table = (
            pd.read_csv(path, usecols=lambda name: name in wanted).set_index("step").replace([np.inf, -np.inf], np.nan)
        )
        # Of a step that comes twice, as after a resumed run, the last.
        columns = {str(name): pd.Series(table[name]).dropna() for name in table}
        return {name: column.groupby(level="step").last() for name, column in columns.items() if len(column)}


def runs_in(paths: Iterable[str]) -> list[Run]:
    """The runs in folders or anywhere below them, each once, in the order of their names; files are passed over.

    Raises ConfigError, naming it, for a path that is not there, a folder without a run, a config that is no YAML.
    """
    found: dict[Path, tuple[str, dict[str, Any]]] = {}
    for path in map(Path, paths):
        if path.is_file():
            continue  # as a shell's glob over a multirun's folder gives it
        if not path.is_dir():
            raise ConfigError(f"there is no folder {path}")
        below = dict(_configs_below(path.resolve()))
        if not below:
            raise ConfigError(f"{path} holds no run: there is no run's config.yaml in it or below it")
        found |= below
    if not found:
        raise ConfigError("give folders of runs, or a folder that holds some")
    top = Path(os.path.commonpath([folder.parent for folder in found]))
    runs = [
        Run(folder, str(folder.relative_to(top)), text, config, RunDir(folder).metrics())
        for folder, (text, config) in found.items()
    ]
    return sorted(runs, key=lambda run: [(len(part), part) for part in Path(run.name).parts])  # 10 after 9


def _configs_below(folder: Path) -> Iterator[tuple[Path, tuple[str, dict[str, Any]]]]:
    """Folders of runs with their config, as text and as data; what lies below a run's folder belongs to that run."""
    for place, below, names in os.walk(folder):
        if "config.yaml" in names:
            path = Path(place, "config.yaml")
            text = path.read_text(encoding="utf-8")
            try:
                config = yaml.load(text, LOADER)
            except yaml.YAMLError as error:
                raise ConfigError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
            if isinstance(config, dict) and "monitor" in (config.get("scoring") or {}):  # else not of train.py
                below.clear()
                yield Path(place), (text, config)
