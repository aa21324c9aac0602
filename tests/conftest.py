import os
import signal

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: one thread gives the same sums on any machine

import pytest

from src.core.signals import handle, restore
from tests.support.programs import program


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory):
    """The folder of one `python train.py`, started the way a user starts it."""
    folder = tmp_path_factory.mktemp("digits") / "run"
    finished = program("train.py", f"run_dir={folder}", cwd=folder.parent)
    assert finished.returncode == 0, finished.stderr
    (folder / "stdout.txt").write_text(finished.stdout)
    (folder / "stderr.txt").write_text(finished.stderr)
    return folder


@pytest.fixture
def handlers():
    """The signal handlers that a test begins with, which are put back."""
    before = handle(signal.SIG_DFL)
    restore(before)
    yield before
    restore(before)
