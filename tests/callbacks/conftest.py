from types import SimpleNamespace

import pytest


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until a test adds to its `seconds`: a real one depends on the machine's load."""
    clock = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr("src.callbacks.clock.now", lambda: clock.seconds)
    return clock
