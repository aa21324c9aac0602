"""What several models, such as those of the folds, answer together. Without torch."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from src.core.errors import ConfigError


def check_members(specs: Sequence[dict[str, Any]], keys: Sequence[str]) -> None:
    """Raise ConfigError unless the specs of all models have the same values of these keys."""
    for key in keys:
        values = [spec.get(key) for spec in specs]
        other = next((place for place, value in enumerate(values) if value != values[0]), None)
        if other is not None:
            raise ConfigError(
                f"checkpoints that answer together must have one {key}: the first has {values[0]}, number {other + 1} "
                f"has {values[other]}"
            )


def spread_heads(members: int, names: Sequence[str], has_label: bool) -> list[str]:
    """The columns that say how far the members are apart; none for a single one."""
    if members == 1:
        return []
    return ["spread"] if has_label or len(names) == 1 else [f"{name} spread" for name in names]


def together(answers: np.ndarray, has_label: bool) -> tuple[np.ndarray, np.ndarray]:
    """Average the answers of several models.

    Args:
        answers: (members, rows, outputs).
        has_label: whether the output with the largest mean is the answer.

    Returns:
        The means, (rows, outputs), and the standard deviations among members: of the label's probability, (rows, 1), or
        of each output, (rows, outputs); (rows, 0) of a single member.
    """
    means = answers.mean(0)
    if len(answers) == 1:
        return means, means[:, :0]
    spreads = answers.std(0, ddof=1)
    return means, np.take_along_axis(spreads, means.argmax(1)[:, None], 1) if has_label else spreads
