"""Keeps a net within the size of the file that describes it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import nn
from torch.nn.modules.module import (
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

SPARE_NUMBERS = 1_000_000
SPARE_PARTS = 10_000


@contextmanager
def bounded(path: str | Path) -> Iterator[None]:
    """Let no net grow within the block beyond what the file can hold: a width of 10^9 takes a few bytes there.

    Raises:
        ValueError: a net has more numbers than the file has bytes, or more parts than its records.
    """
    num_bytes = Path(path).stat().st_size
    left = {"numbers": num_bytes + SPARE_NUMBERS, "parts": num_bytes // 100 + SPARE_PARTS}

    def count(_: nn.Module, name: str, part: nn.Module | nn.Parameter | None) -> None:
        left["parts"] -= 1
        # A lazy parameter does not know its size yet.
        if isinstance(part, nn.Parameter) and not isinstance(part, nn.UninitializedParameter):
            left["numbers"] -= part.numel()
        if min(left.values()) < 0:
            raise ValueError(f"{path}, of {num_bytes:,} bytes, cannot hold the net that it describes (at {name})")

    hooks = [register_module_parameter_registration_hook(count), register_module_module_registration_hook(count)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
