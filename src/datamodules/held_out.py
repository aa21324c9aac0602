"""Which rows a data set holds out of its training rows; a checkpoint remembers them, so that none is scored later."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from src.core.saved_config import part_of
from src.datamodules.cache import digest

UNSAID = {"fold": None, "split": "end"}  # what a rule means that does not say it


def drawn(rule: dict[str, Any], *rows: np.ndarray) -> dict[str, Any]:
    """The record of a split that is taken from the training rows, as plain data.

    Args:
        rule: the arguments of the datamodule that decide which rows are taken, with their values.
        *rows: arrays that are others if other rows are taken; none if the rule alone says which.
    """
    return {"rule": rule, "rows": digest(*rows)}


def text_bytes(texts: Iterable[str]) -> np.ndarray:
    """The texts as one array, for `drawn`."""
    return np.frombuffer("\0".join(texts).encode("utf-8", "backslashreplace"), np.uint8)


def check_same_rows(saved: dict[str, Any], here: dict[str, Any], splits: Iterable[str]) -> None:
    """Compare what a checkpoint and this run hold out.

    Args:
        saved: the checkpoint's records, by split; it lacks splits with rows of their own.
        here: this run's.
        splits: those that matter.

    Raises:
        ValueError: rows that the checkpoint was trained on are in one of these splits, or may be.
    """
    for split in splits:
        if split not in here or here[split] == saved.get(split):
            continue
        rule, there = here[split]["rule"], part_of(saved, split, "rule")
        if not there:
            raise ValueError(
                f"the {split} rows would be taken from those that the checkpoint was trained on; name the {split} "
                "files that its training had"
            )
        changed = [name for name in {**there, **rule} if there.get(name) != rule.get(name)]
        if changed:
            # What the training did not choose by need not be given, but that it had no fold must.
            then = {name: value for name, value in UNSAID.items() if name in rule} | there
            given = " ".join(f"datamodule.{name}={_written(then[name])}" for name in changed if name in then)
            raise ValueError(
                f"the {split} rows would be others than those that the checkpoint's training held out: give {given}"
            )
        raise ValueError(
            f"the data have changed since the checkpoint's training: its {split} rows cannot be told from those it was "
            "trained on; give the data of then. predict.py answers for other rows"
        )


def _written(value: Any) -> str:
    return "null" if value is None else str(value)
