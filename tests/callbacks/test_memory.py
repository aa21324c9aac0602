from types import SimpleNamespace

import pytest
import torch

from src.callbacks import memory
from src.callbacks.memory import is_out_of_memory, peak_of_run_mb, peak_since_restart_mb, restart_peak

CPU = torch.device("cpu")


def test_a_restarted_peak_forgets_what_was_used_before():
    torch.ones(100, 2**18)
    restart_peak(CPU)
    before = peak_since_restart_mb(CPU)
    torch.ones(40, 2**18)
    assert peak_since_restart_mb(CPU) - before == pytest.approx(40, abs=8)
    assert peak_of_run_mb() >= before


@pytest.mark.parametrize(("platform", "peak_mb"), [("darwin", 3.0), ("linux", 3072.0)])
def test_the_peak_of_the_process_is_bytes_on_macos_and_kib_elsewhere(monkeypatch, platform, peak_mb):
    monkeypatch.setattr(memory.resource, "getrusage", lambda who: SimpleNamespace(ru_maxrss=3 * 2**20))
    monkeypatch.setattr(memory.sys, "platform", platform)
    assert peak_of_run_mb() == peak_mb


def test_the_peak_since_the_restart_is_read_from_linux(monkeypatch, tmp_path):
    (tmp_path / "status").write_text("VmPeak:  9999 kB\nVmHWM:  5120 kB\nVmRSS:  1 kB\n")
    monkeypatch.setattr(memory, "STATUS", tmp_path / "status")
    assert peak_since_restart_mb(CPU) == 5


def test_where_no_peak_can_be_restarted_it_is_that_of_the_run(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "STATUS", tmp_path / "status")
    monkeypatch.setattr(memory, "peak_of_run_mb", lambda: 7.0)
    assert peak_since_restart_mb(CPU) == 7


def test_a_refused_allocation_on_the_cpu_is_out_of_memory():
    with pytest.raises(RuntimeError) as refused:
        torch.empty(2**60)
    assert is_out_of_memory(refused.value)


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (MemoryError(), True),
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried 2 GiB"), True),
        (RuntimeError("shapes differ"), False),
    ],
)
def test_errors_about_memory_are_told_from_others(error, is_memory):
    assert is_out_of_memory(error) == is_memory
