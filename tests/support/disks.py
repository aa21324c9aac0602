"""Disks that are full."""

import resource
from contextlib import contextmanager


@contextmanager
def files_limited_to(size):
    """No file of this process can grow beyond `size`, as on a disk that is full: the system says File too large."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
