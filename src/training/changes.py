"""What a run's config may have changed since the training of the checkpoint that it continues or scores."""

from typing import Any

from src.core.errors import ConfigError
from src.core.run_config import differing
from src.core.saved_config import part_of

# What a resumed run takes from its checkpoint: the state of optimizer and schedule, and the weights.
KEPT = ("lr", "lr_ratio", "optimizer", "scheduler", "backbone")


def check_changes(config: dict[str, Any], checkpoint: Any) -> None:
    """Compare a run's config, as plain data, with the content of its checkpoint.

    Raises:
        ConfigError: the config gives what a resumed run could not follow, or another net than the one to score.
    """
    model = part_of(checkpoint, "hyper_parameters", "model")
    if model.get("_target_") == config["model"]["_target_"]:  # else the checks of data and weights say what it is
        _check_model(model, config)
    seed = config["datamodule"].get("seed")  # None if the data's class has chosen it
    before = _data(config, checkpoint).get("seed", seed)
    if config["task"] == "fit" and seed is not None and seed != before:
        raise ConfigError(
            f"a resumed run keeps the rows that it holds out and the order of the others: give seed={before}, got "
            f"datamodule.seed={seed}; or start a new run"
        )


def other_options(config: dict[str, Any], checkpoint: Any) -> list[str]:
    """The model's keys, besides those of net and training, in which a run that scores differs from the training."""
    saved = part_of(checkpoint, "hyper_parameters", "model")
    names = [name for name in saved if name not in (*KEPT, "net", "compile")] if config["task"] != "fit" else []
    pairs = {name: (saved[name], config["model"].get(name)) for name in names}
    return [change for name, (old, new) in pairs.items() for change in differing(old, new, f"model.{name}")]


def seed_of_rows(config: dict[str, Any], checkpoint: Any) -> int | None:
    """The seed that drew the rows that a checkpoint's training held out; None if none did."""
    held_out = part_of(_data(config, checkpoint), "held_out")
    seeds = [part_of(held_out, split, "rule").get("seed") for split in held_out]
    return next((seed for seed in seeds if isinstance(seed, int)), None)


def fold_of_rows(config: dict[str, Any], checkpoint: Any) -> dict[str, int]:
    """The `fold` that a checkpoint's training held out to test on, and `num_folds`; {} if there were no folds."""
    rule = part_of(_data(config, checkpoint), "held_out", "test", "rule")
    return {name: rule[name] for name in ("fold", "num_folds") if isinstance(rule.get(name), int)}


def tells_held_out_rows(config: dict[str, Any], checkpoint: Any) -> bool:
    """Whether a checkpoint says which rows its training held out; older ones do not."""
    return "held_out" in _data(config, checkpoint)


def _data(config: dict[str, Any], checkpoint: Any) -> dict[str, Any]:
    """The state of the datamodule, which Lightning keeps by the name of its class."""
    return part_of(checkpoint, config["datamodule"]["_target_"].rpartition(".")[2])


def _check_model(saved: dict[str, Any], config: dict[str, Any]) -> None:
    """Compare those arguments of the model that must be the checkpoint's."""
    names = KEPT if config["task"] == "fit" else ("net",)
    pairs = {name: (saved.get(name), config["model"].get(name)) for name in names}
    if pairs.get("backbone", (None, None))[1] is None:  # it has done its work, and its file may be gone
        pairs.pop("backbone", None)
    changed = [change for name, (old, new) in pairs.items() for change in differing(old, new, f"model.{name}")]
    if config["task"] == "fit" and changed:
        raise ConfigError(
            "a resumed run goes on with its checkpoint's optimizer and schedule, which these would not change: "
            f"{_listed(changed, {'model': saved}, config)}; give the values from there, or start a new run"
        )
    changed = [name for name in changed if not name.endswith("dropout")]  # which scores do not depend on
    if changed:
        raise ConfigError(
            f"the checkpoint has another net: {_listed(changed, {'model': saved}, config)}; give the values from there"
        )


def _listed(names: list[str], saved: Any, config: Any) -> str:
    """The first of some dotted keys with their values in a checkpoint and in a config."""
    shown = [f"{name}={_value(saved, name)} there, {_value(config, name)} here" for name in names[:3]]
    return ", ".join(shown) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _value(node: Any, path: str) -> Any:
    *names, last = path.split(".")
    value = part_of(node, *names).get(last)
    return "null" if value is None else value
