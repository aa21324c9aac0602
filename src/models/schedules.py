"""Learning-rate schedules. Each starts from the peak lr that the optimizer's parameter groups already have.

Conf, layer groups and the lr finder set that peak in one place, before the schedule is built. A schedule steps once
per optimizer step; `total_steps` is the number of optimizer steps of the whole training.
"""

import math
from typing import Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR


def one_cycle(
    optimizer: Optimizer,
    total_steps: int,
    *,
    warmup_fraction: float,
    start_ratio: float,
    final_ratio: float,
    momentum_low: float,
    momentum_high: float,
    anneal: Literal["cos", "linear"],
) -> LRScheduler:
    """Raise the lr from `start_ratio` x peak to the peak, then anneal it to `final_ratio` x peak.

    Momentum goes the other way, from momentum_high to momentum_low and back.

    Source: Smith 2018, arXiv:1803.09820, section 4.3; the cosine shape is fast.ai's.
    """
    if not 0 <= warmup_fraction < 1 or not 0 < start_ratio <= 1 or not 0 < final_ratio <= 1:
        raise ValueError(
            "one_cycle needs warmup_fraction within [0, 1), start_ratio and final_ratio within (0, 1], "
            f"got {warmup_fraction=}, {start_ratio=}, {final_ratio=}"
        )
    has_momentum = "momentum" in optimizer.defaults or "betas" in optimizer.defaults
    return OneCycleLR(
        optimizer,
        max_lr=[group["lr"] for group in optimizer.param_groups],
        total_steps=total_steps,
        # Slightly less: OneCycleLR divides by the length of the warm-up minus one step, which may be 0.
        pct_start=warmup_fraction * (1 - 1e-9),
        div_factor=1 / start_ratio,
        final_div_factor=start_ratio / final_ratio,
        cycle_momentum=has_momentum and bool(optimizer.defaults.get("momentum", 1)),
        base_momentum=momentum_low,
        max_momentum=momentum_high,
        anneal_strategy=anneal,
    )


def flat_cosine(
    optimizer: Optimizer, total_steps: int, *, warmup_fraction: float, flat_fraction: float, final_ratio: float
) -> LRScheduler:
    """Warm up linearly, stay at the peak until `flat_fraction` of all steps, then a half cosine to `final_ratio`."""
    if not 0 <= warmup_fraction <= flat_fraction < 1:
        raise ValueError(f"flat_cosine needs 0 <= warmup <= flat < 1, got {warmup_fraction=}, {flat_fraction=}")
    warmup = warmup_fraction * total_steps
    flat = flat_fraction * total_steps

    def ratio(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return _cosine(max(0.0, (step - flat) / (total_steps - flat)), final_ratio)

    return LambdaLR(optimizer, ratio)


def cosine_restarts(
    optimizer: Optimizer, total_steps: int, *, num_cycles: int, cycle_mult: float, final_ratio: float
) -> LRScheduler:
    """Anneal from the peak to `final_ratio` x peak `num_cycles` times, each cycle `cycle_mult` times as long.

    The cycles fill the training exactly.
    Source: Loshchilov and Hutter 2017, arXiv:1608.03983, section 3 (SGDR).
    """
    if num_cycles < 1 or cycle_mult <= 0:
        raise ValueError(f"cosine_restarts needs num_cycles >= 1 and cycle_mult > 0, got {num_cycles=}, {cycle_mult=}")
    first = total_steps / sum(cycle_mult**cycle for cycle in range(num_cycles))
    ends = [first * sum(cycle_mult**c for c in range(cycle + 1)) for cycle in range(num_cycles)]

    def ratio(step: int) -> float:
        cycle = next((i for i, end in enumerate(ends) if step < end - 1e-6), num_cycles - 1)
        start = ends[cycle - 1] if cycle else 0.0
        return _cosine(min(1.0, (step - start) / (ends[cycle] - start)), final_ratio)

    return LambdaLR(optimizer, ratio)


def constant(optimizer: Optimizer) -> LRScheduler:
    """Keep the lr of every group."""
    return LambdaLR(optimizer, lambda step: 1.0)


def _cosine(done: float, final_ratio: float) -> float:
    """Return half a cosine from 1 to `final_ratio` while `done` goes from 0 to 1."""
    return final_ratio + (1 - final_ratio) * (1 + math.cos(math.pi * done)) / 2
