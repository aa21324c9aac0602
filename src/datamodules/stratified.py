"""Draws rows class by class."""

import numpy as np


def shuffle_by_class(labels: np.ndarray, seed: int) -> list[np.ndarray]:
    """Return the rows of each class in random order, the same for the same seed."""
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    _, starts = np.unique(labels[order], return_index=True)
    return np.split(order, starts[1:])


def stratified_split(labels: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows to keep and the rows to hold out, both sorted.

    Of each class, the whole number nearest to `fraction` of its rows is held out, but at least one and never all.
    Raises ValueError if a class has fewer than two rows.
    """
    keep, hold = [], []
    for rows in shuffle_by_class(labels, seed):
        if len(rows) < 2:
            raise ValueError(f"a stratified split needs 2 rows of each class, got one of class {labels[rows[0]]}")
        held_out = min(max(round(len(rows) * fraction), 1), len(rows) - 1)
        hold.append(rows[:held_out])
        keep.append(rows[held_out:])
    return np.sort(np.concatenate(keep)), np.sort(np.concatenate(hold))
