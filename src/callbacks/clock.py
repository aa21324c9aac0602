"""The clock by which callbacks measure time: one place, where a test can set it."""

import time


def now() -> float:
    """Seconds since a fixed moment. Call it as `clock.now()`, so that a replacement is found."""
    return time.perf_counter()
