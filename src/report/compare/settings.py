"""Which settings differ between runs, and which runs differ only in their seed."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from src.core.errors import ConfigError
from src.core.migrations import FORMAT_KEY
from src.report.compare.run import Run

ABSENT = "-"  # the value of a key that a run's config does not have
# Keys that do not change a score, or only by chance: at any depth, and at the top.
IGNORED_ANYWHERE = {"seed", "run_dir", "data_dir", "cache_dir"}
IGNORED_AT_TOP = {"defaults", "hydra", "logger", "resume", "overwrite", "debug", "print_config", FORMAT_KEY}


@dataclass(frozen=True)
class Setting:
    """The runs with the same values of the keys that differ, whatever their seed.

    Attributes:
        runs: those with a final score.
        unscored: those without one.
    """

    values: dict[str, Any]
    runs: list[Run] = field(default_factory=list)
    unscored: list[Run] = field(default_factory=list)

    def over_seeds(self, name: str) -> np.ndarray:
        """A number of metrics.json for each seed; the mean of its runs if a seed was run several times."""
        found: dict[Any, list[float]] = {}
        for run in self.runs:
            value = run.metrics.get(name)
            if value is not None:
                found.setdefault(run.config.get("seed"), []).append(value)
        return np.array([np.mean(values) for values in found.values()])

    def mean(self, name: str) -> float:
        """The mean over seeds; NaN if no run has this number."""
        values = self.over_seeds(name)
        return float(values.mean()) if len(values) else float("nan")

    def spread(self, name: str) -> float:
        """The sample standard deviation over seeds; NaN with one seed."""
        values = self.over_seeds(name)
        return float(values.std(ddof=1)) if len(values) > 1 else float("nan")

    def words(self, keys: Collection[str]) -> str:
        """`lr=0.01, hidden=64`, with keys as short as is unambiguous."""
        short = short_names(keys)
        return ", ".join(f"{short[key]}={value_text(self.values[key])}" for key in keys) or "all runs"


@dataclass(frozen=True)
class Comparison:
    """Runs with one metric.

    Attributes:
        mode: `max` or `min`, whichever is better.
        settings: those with a score, the best first.
        with_unscored: those with at least one run without a score.
        keys: the keys that differ, each with the keys that always change along with it.
        incomparable: runs with another metric.
    """

    metric: str
    mode: str
    settings: list[Setting]
    with_unscored: list[Setting]
    keys: dict[str, list[str]]
    incomparable: list[Run]

    @property
    def runs(self) -> list[Run]:
        """All runs with a score."""
        return [run for setting in self.settings for run in setting.runs]


def compare(runs: Sequence[Run]) -> Comparison:
    """Group runs by setting and rank them by the metric that most of them have.

    Raises:
        ConfigError: fewer than two runs have finished with a score of one metric.
    """
    has_score = [run.is_whole and run.metrics.get(run.metric[0]) is not None for run in runs]
    metrics = [run.metric for run, scored in zip(runs, has_score, strict=True) if scored]
    if not metrics or max(map(metrics.count, metrics)) < 2:
        wanted = ", ".join(sorted({run.metric[0] for run in runs}))
        raise ConfigError(
            f"a comparison needs two finished runs with the same score ({wanted} in metrics.json), got {len(metrics)} "
            f"with a score among {len(runs)} runs; a single run has its own report.html"
        )
    metric, mode = max(dict.fromkeys(metrics), key=metrics.count)
    same = [(run, scored) for run, scored in zip(runs, has_score, strict=True) if run.metric == (metric, mode)]
    columns = differing([run.config for run, _ in same])
    settings: dict[tuple[Any, ...], Setting] = {}
    for number, (run, scored) in enumerate(same):
        values = {key: column[number] for key, column in columns.items()}
        setting = settings.setdefault(tuple(values.values()), Setting(values))
        (setting.runs if scored else setting.unscored).append(run)
    ranked = sorted((s for s in settings.values() if s.runs), key=lambda s: s.mean(metric), reverse=mode == "max")
    return Comparison(
        metric,
        mode,
        ranked,
        [setting for setting in settings.values() if setting.unscored],
        grouped({key: [setting.values[key] for setting in settings.values()] for key in columns}),
        [run for run in runs if run.metric != (metric, mode)],
    )


def differing(configs: Sequence[Any], path: str = "") -> dict[str, list[Any]]:
    """Dotted keys at which configs differ, each with the value in each config.

    An object is compared by its class; the arguments of objects of one class are compared as well.
    """
    values = [comparable(config) for config in configs]
    found = {path: values} if len(set(values)) > 1 else {}
    for kind in dict.fromkeys(values):
        members = [n for n, config in enumerate(configs) if isinstance(config, dict) and values[n] == kind]
        for key in dict.fromkeys(key for n in members for key in configs[n]):
            if key in IGNORED_ANYWHERE or (not path and key in IGNORED_AT_TOP):
                continue
            below = differing([configs[n].get(key, ABSENT) for n in members], f"{path}.{key}".lstrip("."))
            for name, column in below.items():
                whole = found.setdefault(name, [ABSENT] * len(configs))
                for n, value in zip(members, column, strict=True):
                    whole[n] = value
    return found


def comparable(value: Any) -> Any:
    """A config's value in a form that can be compared: an object's class, a list's text."""
    if isinstance(value, dict):
        return str(value.get("_target_", "given")).rpartition(".")[2]
    return f"[{', '.join(map(value_text, value))}]" if isinstance(value, list) else value


def grouped(columns: dict[str, list[Any]]) -> dict[str, list[str]]:
    """The keys that differ. Of keys that change together, the uppermost one stands for the others."""
    groups: dict[str, list[str]] = {}
    for key in sorted(columns, key=lambda key: key.count(".")):
        first = next((first for first in groups if _change_together(columns[first], columns[key])), None)
        if first is not None:
            groups[first].append(key)
        elif len(set(columns[key])) > 1:
            groups[key] = []
    return groups


def _change_together(one: list[Any], other: list[Any]) -> bool:
    """Whether the values match one to one. Numbers must match in order too: a search may draw each of them once."""
    if not len(set(one)) == len(set(other)) == len(set(zip(one, other, strict=True))):
        return False
    if not (is_numeric(one) and is_numeric(other)):
        return True
    paired = [value for _, value in sorted(zip(one, other, strict=True))]
    return sorted(paired) in (paired, paired[::-1])


def is_numeric(values: Sequence[Any]) -> bool:
    """Whether all values are numbers; true and false are not."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def short_names(keys: Collection[str]) -> dict[str, str]:
    """Each key's last part, or the whole key if another key ends in the same part."""
    last = [key.rpartition(".")[2] for key in keys]
    return {key: short if last.count(short) == 1 else key for key, short in zip(keys, last, strict=True)}


def value_text(value: Any) -> str:
    """A value as a config writes it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:.4g}" if isinstance(value, float) else str(value)
