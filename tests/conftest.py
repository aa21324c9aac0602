import os
import signal
import subprocess
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: one thread gives the same sums on any machine

import pytest
from filelock import FileLock

from src.core.signals import handle, restore
from tests.support import zygote

TESTS = Path(__file__).parent
# Files whose tests take longest begin first: at the end no worker waits long for another.
SLOW = ("test_train.py", "test_layout.py", "training/", "serving/", "test_experiments.py", "core/", "callbacks/")


def pytest_collection_modifyitems(items):
    """Sort test files by the place of their name in SLOW; others follow as they were."""

    def place(item):
        name = str(item.path.relative_to(TESTS))
        return next((rank for rank, start in enumerate(SLOW) if name.startswith(start)), len(SLOW))

    items.sort(key=place)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    """Give all workers of a session the same two zygotes, which end with it."""
    node.workerinput["zygotes"] = zygote.address(is_light=False), zygote.address(is_light=True)


def pytest_configure(config):
    """Use the session's zygotes in a worker."""
    if hasattr(config, "workerinput"):
        zygote.address = lambda is_light: config.workerinput["zygotes"][is_light]


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory, worker_id):
    """The folder of one `python train.py`, started the way a user starts it; all workers of a session share it."""
    from tests.support.programs import program  # not above: the process that only hands out tests needs no torch

    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "digits" / "run"
    with FileLock(base.parent / f"{base.parent.name}-digits.lock"):
        if not (folder / "stderr.txt").is_file():
            folder.parent.mkdir(parents=True, exist_ok=True)
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


@pytest.fixture
def disk_of(tmp_path):
    """A function that gives a file system of some size, such as 64k."""
    mounted = []

    def mount(size):
        disk = tmp_path / "disk"
        disk.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
        if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode != 0:
            pytest.skip("only root may mount a small file system")
        mounted.append(disk)
        return disk

    yield mount
    for disk in mounted:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.fixture
def small_disk(disk_of):
    """A file system of 64 KiB."""
    return disk_of("64k")
