"""Cross-validation: the rows of a data set are dealt out to folds, and a run holds out one of them to test on.

What fold a row is in depends on the seed and the rows alone, not on the run that asks.
"""

import numpy as np

from src.datamodules.stratified import shuffle_by_class


def check_fold(fold: int | None, num_folds: int) -> None:
    """Raise ValueError unless there is such a fold; None means no cross-validation."""
    if num_folds < 2:
        raise ValueError(f"datamodule.num_folds must be 2 or more, got {num_folds}")
    if fold is not None and not 0 <= fold < num_folds:
        raise ValueError(f"datamodule.fold must be from 0 to num_folds - 1 = {num_folds - 1}, got {fold}")


def fold_rule(fold: int | None, num_folds: int) -> dict[str, int]:
    """The arguments of a datamodule that say which rows a fold holds out; {} without one."""
    return {} if fold is None else {"fold": fold, "num_folds": num_folds}


def deal(labels: np.ndarray, num_folds: int, seed: int) -> np.ndarray:
    """Return the fold of each row. Folds differ by one row at most, in all and in each class.

    Raises ValueError if a class has a single row, which could not be held out and trained on, or if there are more
    folds than rows.
    """
    by_class = shuffle_by_class(labels, seed)
    if len(labels) < num_folds:
        raise ValueError(f"datamodule.num_folds must be at most the number of rows, {len(labels)}, got {num_folds}")
    single = sum(len(rows) == 1 for rows in by_class)
    if single and len(by_class) > 1:
        raise ValueError(
            f"datamodule.fold holds out each row once, so a class needs 2 rows or more; {single} of {len(by_class)} "
            "classes have one: leave such classes out, or join them with others"
        )
    folds = np.empty(len(labels), np.int64)
    folds[np.concatenate(by_class)] = np.arange(len(labels)) % num_folds
    return folds


def deal_groups(groups: np.ndarray, num_folds: int, seed: int) -> np.ndarray:
    """Return the fold of each row. Rows of a group, numbered from 0, are in one fold; folds are about equally large.

    The largest group is dealt first, each to the fold that has the fewest rows. Groups of one size come in random
    order. Raises ValueError if there are more folds than groups.
    """
    sizes = np.bincount(groups)
    if len(sizes) < num_folds:
        raise ValueError(f"datamodule.num_folds must be at most the number of groups, {len(sizes)}, got {num_folds}")
    order = np.random.default_rng(seed).permutation(len(sizes))
    folds, filled = np.empty(len(sizes), np.int64), np.zeros(num_folds, np.int64)
    for group in order[np.argsort(-sizes[order], kind="stable")]:
        folds[group] = filled.argmin()
        filled[folds[group]] += sizes[group]
    return folds[groups]


def blocks_of_time(times: np.ndarray, num_folds: int) -> np.ndarray:
    """Return the fold of each row, in the order of time; -1 for the first block, which is only trained on.

    A fold is tested by a training on what came before it, so there is a block more than folds. Rows of one time are in
    one block. Raises ValueError if a fold would have no rows.
    """
    ordered = np.sort(times)
    begins = ordered[[round(len(times) * block / (num_folds + 1)) for block in range(1, num_folds + 1)]]
    blocks = np.searchsorted(begins, times, side="right")
    empty = num_folds + 1 - len(np.unique(blocks))
    if empty:
        raise ValueError(
            f"datamodule.num_folds={num_folds} and a block to begin with need {num_folds + 1} blocks of time, but "
            f"{len(np.unique(times))} different times leave {empty} of them without rows: choose fewer folds"
        )
    return blocks - 1
