"""Reads a W&B sweep file: what is tried, how it is chosen, and what is the same in every trial."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from src.core import migrations
from src.core.check import check, composed
from src.core.errors import ConfigError, nearest
from src.core.explain import explain

METHODS = ("grid", "random", "bayes")
ARGUMENTS = "${args_no_hyphens}"
KINDS = {
    "metric": (dict, "a dict"),
    "parameters": (dict, "a dict"),
    "command": (list, "a list"),
    "early_terminate": (dict | None, "a dict"),
    "run_cap": (int | None, "a whole number"),
}
PER_TRIAL = {"run_dir", "resume"}  # set for each trial by scripts.sweep
# The keys of a parameter with each distribution; W&B has more distributions.
DISTRIBUTIONS = {
    "constant": {"value"},
    "categorical": {"values"},
    "int_uniform": {"min", "max"},
    "uniform": {"min", "max"},
    "q_uniform": {"min", "max", "q"},
    "log_uniform_values": {"min", "max"},
}


@dataclass(frozen=True)
class Sweep:
    """The contents of a sweep file; `fixed` and `parameters` are by the key of train.py that they set."""

    path: str
    method: str
    metric: str
    goal: Literal["maximize", "minimize"]
    fixed: dict[str, str]
    parameters: dict[str, BaseDistribution]
    early_terminate: dict[str, Any] | None
    run_cap: int | None

    @property
    def searched(self) -> list[str]:
        """The parameters with more than one value."""
        return [name for name, distribution in self.parameters.items() if not distribution.single()]


def read_sweep(path: Path, overrides: list[str]) -> Sweep:
    """Read the sweep of a file.

    Args:
        path: the file.
        overrides: key=value, as on the command line; they replace the file's.

    Raises:
        ConfigError: W&B or Hydra would misread a value, or the file has something that we do not support.
    """
    if not path.is_file():
        raise ConfigError(f"sweep file {path} does not exist{nearest(str(path), map(str, path.parent.glob('*.yaml')))}")
    config = _read_yaml(path)
    metric = config["metric"]
    if config["method"] not in METHODS:
        raise ConfigError(f"method must be {', '.join(METHODS[:-1])} or {METHODS[-1]}, got {config['method']}")
    if metric.get("goal") not in ("maximize", "minimize") or not isinstance(metric.get("name"), str):
        raise ConfigError(f"metric must have a name and a goal, maximize or minimize, got {metric}")
    given = _texts(overrides)
    parameters = {name: _distribution(name, how) for name, how in config["parameters"].items() if name not in given}
    fixed = {"logger": "csv"} | {k: v for k, v in _fixed(config["command"]).items() if k != "logger"} | given
    if own := PER_TRIAL & {key.lstrip("+") for key in {**fixed, **parameters}}:
        raise ConfigError(f"a sweep sets run_dir and resume for each trial, got {', '.join(own)}: leave it out")
    if "experiment" not in {**fixed, **parameters}:
        raise ConfigError("command must name an experiment: experiment=NAME")
    if config["method"] == "grid" and not all(isinstance(d, CategoricalDistribution) for d in parameters.values()):
        raise ConfigError("a grid needs values: [...] for each parameter, or value: ...")
    early = _early_terminate(config.get("early_terminate"))
    run_cap = config.get("run_cap")
    return Sweep(str(path), config["method"], metric["name"], metric["goal"], fixed, parameters, early, run_cap)


def _read_yaml(path: Path) -> dict[str, Any]:
    """Read a file's keys; raises ConfigError if one is missing or of another type than in W&B."""
    try:
        config = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(config, dict) or not {"method", "metric", "parameters", "command"} <= set(config):
        raise ConfigError(f"{path} must have the keys method, metric, parameters and command")
    for key, (kind, words) in KINDS.items():
        if not isinstance(config.get(key), kind):
            raise ConfigError(f"{key} must be {words}, got {config.get(key)!r}; conf/sweep has examples")
    return config


def parse(text: str) -> Override:
    """Parse key=value as Hydra does; raises ConfigError if Hydra sees no value, or several."""
    try:
        override = OverridesParser.create().parse_override(text)
    except HydraException:
        raise ConfigError(f"Hydra cannot read {text}: quote the text once more, or write a dict as {{a: 1}}") from None
    if override.is_sweep_override():
        raise ConfigError(f"Hydra reads {text} as several jobs: write a list in brackets, or quote the text once more")
    if override.is_delete():
        raise ConfigError(f"a sweep sets keys, and {text} deletes one")
    return override


def _texts(overrides: list[str]) -> dict[str, str]:
    for text in overrides:
        parse(text)
    return dict(text.split("=", 1) for text in overrides)


def _fixed(command: list[Any]) -> dict[str, str]:
    if ARGUMENTS not in command:
        raise ConfigError(f"command must hold {ARGUMENTS}, where the parameters go, as key=value")
    parts = [str(part) for part in command]
    for part in parts:
        if "=" not in part and part not in ("python", "train.py") and not (part[:2] == "${" and part[-1] == "}"):
            raise ConfigError(f"command may hold key=value, ${{...}}, python and train.py, got {part}: leave it out")
    return _texts([part for part in parts if "=" in part])


def _distribution(name: str, given: Any) -> BaseDistribution:
    """Turn a parameter into a distribution of Optuna, with W&B's kinds and defaults."""
    if not isinstance(given, dict):
        raise ConfigError(f"{name} must be a dict, got {given!r}: write {{value: ...}} for a single value")
    kind = str(given.get("distribution") or _usual_kind(given))
    if kind not in DISTRIBUTIONS or set(given) - {"distribution"} != DISTRIBUTIONS[kind]:
        known = "; ".join(f"{kind}: {', '.join(sorted(keys))}" for kind, keys in DISTRIBUTIONS.items())
        raise ConfigError(f"{name} has {given}, which is not supported; there are ({known})")
    if kind in ("constant", "categorical"):
        values = given.get("values", [given.get("value")])
        if not isinstance(values, list) or not values:
            raise ConfigError(f"{name} must have a list of values, got {values!r}: write values: [...] or value: ...")
        return CategoricalDistribution([_choice(name, value) for value in values])
    numbers = [given[key] for key in ("min", "max", "q") if key in given]
    if not all(type(number) in (int, float) for number in numbers):
        raise ConfigError(f"{name} must lie between numbers, got {numbers}; YAML reads 1e-3 as text: write 1.0e-3")
    low, high, *q = numbers
    try:
        if kind == "int_uniform":
            if not all(type(number) is int for number in numbers):
                raise ValueError("int_uniform must lie between whole numbers")
            return IntDistribution(low, high)
        return FloatDistribution(low, high, log=kind == "log_uniform_values", step=q[0] if q else None)
    except ValueError as error:
        raise ConfigError(f"{name} has {given}: {' '.join(str(error).split())}") from None


def _usual_kind(given: dict[str, Any]) -> str:
    """Choose the distribution that W&B gives a parameter which names none."""
    if "value" in given:
        return "constant"
    if "values" in given:
        return "categorical"
    whole = all(isinstance(given.get(key), int) for key in ("min", "max"))
    return "int_uniform" if whole else "uniform"


def _choice(name: str, value: Any) -> str | int | float | bool:
    """Return a value as W&B writes it, which is Python's way; raises ConfigError if Hydra would misread it.

    Hydra also parses texts: 'null' is null, and "[1, 2]" is a list.
    """
    read = parse(f"{name}={value}").value()
    if not isinstance(value, str) and read != value:
        raise ConfigError(f"{name}: Hydra would read {value} as {read!r}; quote it as Hydra writes it: 'null' for null")
    return value if isinstance(value, str | int | float | bool) else str(value)


def _early_terminate(given: dict[str, Any] | None) -> dict[str, Any] | None:
    """Translate W&B's hyperband for Optuna: after min_iter validations, eta times that, ..., the best 1 / eta go on.

    W&B's other form stops s times, the last time after max_iter / eta; Optuna lacks that, so it is kept as `last_stop`.
    """
    if given is None:
        return None
    eta = given.get("eta", 3)
    known = ({"min_iter"}, {"max_iter", "s"})
    if given.get("type") != "hyperband" or set(given) - {"type", "eta"} not in known:
        raise ConfigError(f"early_terminate must be of type hyperband, with min_iter or max_iter and s, got {given}")
    if not all(type(n) is int and n >= 1 for key, n in given.items() if key != "type") or eta == 1:
        raise ConfigError(f"early_terminate must have whole numbers of 1 or more, and eta of 2 or more, got {given}")
    if "min_iter" in given:
        return {"min_resource": given["min_iter"], "reduction_factor": eta, "last_stop": math.inf}
    first, last = given["max_iter"] // eta ** given["s"], given["max_iter"] // eta
    return {"min_resource": max(first, 1), "reduction_factor": eta, "last_stop": last}


def check_values(sweep: Sweep) -> None:
    """Raise ConfigError for what train.py would refuse; tries each parameter's first value, its second, and so on."""
    values = {
        name: d.choices if isinstance(d, CategoricalDistribution) else (d.low, d.high)  # pyright: ignore
        for name, d in sweep.parameters.items()
    }
    for turn in range(max(map(len, values.values()), default=1)):
        chosen = {name: choices[turn % len(choices)] for name, choices in values.items()}
        started_with = keys_of_today({**sweep.fixed, **chosen, "run_dir": "runs/sweeps", "resume": "auto"})
        overrides = [f"{key}={value}" for key, value in started_with.items()]
        try:
            check(composed(overrides))
        except Exception as error:
            message = explain(error, overrides, "train")
            if message is None:
                raise
            raise ConfigError(message) from None


def keys_of_today(overrides: dict[str, Any]) -> dict[str, Any]:
    """Give train.py its keys' names of today: a sweep that began before an upgrade keeps the older ones."""
    if not any(migration.arguments for migration in migrations.MIGRATIONS):
        return overrides
    groups = [f"{key}={value}" for key, value in overrides.items() if "." not in key]
    today = migrations.renamed_keys(OmegaConf.to_container(composed(groups)))
    return {today.get(key, key): value for key, value in overrides.items()}
