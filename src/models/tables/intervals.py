"""How far the answers of a regression may be off: as far as those for the validation rows were."""

import math
from typing import Any

import torch
from torch import Tensor

MAX_KEPT = 1001  # errors of each target


def kept_errors(errors: Tensor) -> dict[str, Any]:
    """Return what `half_widths` needs of absolute errors, (rows, targets), as plain data.

    Of more than MAX_KEPT rows, errors evenly spread by their rank are kept, with the largest one.
    """
    rows = len(errors)
    ranks = torch.linspace(1, rows, min(rows, MAX_KEPT), dtype=torch.float64).ceil().long()
    ordered = errors.sort(dim=0).values[ranks - 1]
    return {"rows": rows, "ranks": ranks.tolist(), "errors": ordered.double().tolist()}


def half_widths(kept: dict[str, Any], share: float) -> Tensor:
    """Return how far from an answer each target is, at most, in this share of new rows: float64 (targets,).

    Of n rows it is the error of rank (n + 1) * share, rounded up, which new rows of the same kind exceed with a chance
    of 1 - share at most. The rows have chosen the best epoch, so it is a little too small.
    Source: split conformal prediction, Papadopoulos et al. 2002; Lei et al. 2018, arXiv:1604.04173.

    Raises:
        ValueError: share is not within (0, 1), or there are too few rows for it.
    """
    if not 0 < share < 1:
        raise ValueError(f"interval must be between 0 and 1, such as 0.9, got {share}")
    rank = math.ceil((kept["rows"] + 1) * share)
    place = next((place for place, kept_rank in enumerate(kept["ranks"]) if kept_rank >= rank), None)
    if place is None:
        raise ValueError(
            f"interval={share} needs {math.ceil(share / (1 - share))} validation rows or more, the training had "
            f"{kept['rows']}: ask for a smaller share"
        )
    return torch.tensor(kept["errors"][place], dtype=torch.float64)
