"""Work in processes of its own: measurements that must not change one another."""

import statistics
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, TypeVar

from src.core.output import show

Value = TypeVar("Value")
# A measurement: numbers by what they count. The first one is shown while the others are still measured.
Measure = Callable[[str], dict[str, float]]


def elsewhere(function: Callable[..., Value], *arguments: Any) -> Value:
    """Call a function in a new process, which keeps its memory settings and its peak to itself."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


def medians_of_turns(
    variants: Iterable[str], measure: Measure, *, repeats: int, run: Callable[..., Any] = elsewhere
) -> dict[str, dict[str, float]]:
    """Measure the variants in turns, so that whatever slows the machine down slows all of them.

    Args:
        variants: names of what is compared.
        measure: measures one variant; it must be picklable, as must its result.
        repeats: turns of each variant.
        run: calls `measure`; in a new process unless another is given.

    Returns:
        The median over the turns, by what was counted and by variant.
    """
    turns: dict[str, list[dict[str, float]]] = {name: [] for name in variants}
    for turn in range(repeats):
        for name, measured in turns.items():
            measured.append(run(measure, name))
        show(f"turn {turn}: " + ", ".join(_in_short(name, measured[-1]) for name, measured in turns.items()))
    counted = next(iter(turns.values()))[0]
    return {
        quantity: {name: statistics.median(one[quantity] for one in measured) for name, measured in turns.items()}
        for quantity in counted
    }


def _in_short(name: str, measured: dict[str, float]) -> str:
    quantity, value = next(iter(measured.items()))
    return f"{name} {value:,.1f} {quantity}"
