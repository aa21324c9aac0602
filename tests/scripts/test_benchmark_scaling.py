"""The model of communication on made-up numbers, what the benchmark writes and reports, and a short part of it run."""

import argparse
import json
import tempfile
import time
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from scripts.benchmark_scaling import __main__ as benchmark_scaling
from scripts.benchmark_scaling import report as scaling_report
from scripts.benchmark_scaling.data import PIECE, write_table, write_text
from scripts.benchmark_scaling.model import Link, efficiency, fit_link, least_batch
from scripts.benchmark_scaling.processes import SHORT, Runs, all_reduces, metrics_of
from tests.support.programs import composed, run_here

LINK = Link(latency_s=0.001, bytes_per_second=1e6)

# ---- the model ----


def test_an_all_reduce_of_four_ranks_sends_six_quarters():
    # Six messages of 2,000 bytes: 6 x (1 ms + 2 ms).
    assert LINK.all_reduce_s(8000, 4) == pytest.approx(0.018)


def test_one_rank_sends_nothing():
    assert LINK.ddp_s(8000, 1) == 0


@pytest.mark.parametrize("num_ranks", [2, 5])
def test_the_link_is_found_from_its_all_reduces(num_ranks):
    sizes = [100, 7000, 3_000_000]
    found = fit_link(sizes, [LINK.all_reduce_s(size, num_ranks) for size in sizes], num_ranks)
    assert found.latency_s == pytest.approx(LINK.latency_s)
    assert found.bytes_per_second == pytest.approx(LINK.bytes_per_second)


def test_at_the_least_batch_several_devices_do_as_much_as_one():
    batch, compute_s, ddp_s, num_ranks = 30, 0.6, 0.5, 4
    least = least_batch(batch, compute_s, ddp_s, efficiency=1 / num_ranks)
    seconds_of_a_row = compute_s / batch
    assert num_ranks * efficiency(least * seconds_of_a_row, ddp_s) == pytest.approx(1)


# ---- its data ----


def test_a_table_has_as_many_rows_as_asked_for(tmp_path):
    write_table(tmp_path / "rows.csv", PIECE + 7)
    table = pd.read_csv(tmp_path / "rows.csv")
    assert len(table) == PIECE + 7
    assert [table[name].nunique() for name in ("shop", "product")] == [50, 1000]


def test_a_text_has_as_many_tokens_as_asked_for(tmp_path):
    write_text(tmp_path / "a.txt", PIECE + 7)
    assert len((tmp_path / "a.txt").read_text().split()) == PIECE + 7


# ---- its report ----


def numbers(**changes):
    """An experiment of 100 rows a step, which take 50 ms alone, and two ranks beside one another 100 ms."""
    return {
        "unit": "samples",
        "batch": 100,
        "gradient_bytes": 8000,
        "alone": {"1": 2000.0, "2": 2000.0},
        "ddp": {"2": 1700.0},
        **changes,
    }


def test_the_model_slows_the_ranks_that_share_a_machine_by_what_they_send():
    found = scaling_report.by_model(numbers(), LINK, 2)
    # 2 messages of 4,000 bytes, and 4 short ones: 2 x 5 ms + 4 x 1 ms.
    assert found["ddp_s"] == pytest.approx(0.014)
    assert found["ddp"] == pytest.approx(2 * 100 / (0.1 + 0.014))
    assert found["least_batch"] == pytest.approx(14)


@pytest.fixture
def result():
    all_reduces = {str(size): LINK.all_reduce_s(size, 2) for size in (100, 7000, 3_000_000)}
    peaks = {"first": {"1000": 500.0, "100000": 700.0}, "later": {"1000": 490.0, "100000": 495.0}}
    memory = {
        "peak_mb": peaks,
        "bytes_each": {"first": 2118.0, "later": 53.0},
        "first_run_s": {"1000": 7.0, "100000": 9.0},
    }
    return {
        "throughput": {"digits": numbers(), "flights": numbers(unit="rows")},
        "communication": {"num_ranks": 2, "all_reduce_s": all_reduces},
        "memory": {"rows": memory, "tokens": memory},
        "startup": {"lightning": {"1": 6.5, "2": 11.0}, "torchrun": {"1": 8.0, "2": 8.5}},
        "hardware": "a machine",
        "torch": "2.13",
    }


def test_the_report_joins_parts_and_draws_them(result, tmp_path, monkeypatch, capsys):
    for part in ("memory", "startup"):
        file = {part: result.pop(part), "hardware": "a machine", "torch": "2.13"}
        (tmp_path / part).write_text(f"progress\n{json.dumps(file)}\n")
    (tmp_path / "rest").write_text(json.dumps(result))
    files = [str(tmp_path / name) for name in ("memory", "startup", "rest")]
    monkeypatch.setattr("sys.argv", ["scaling_report", *files, "--picture", str(tmp_path / "a.png")])
    scaling_report.main()
    printed = capsys.readouterr().out
    assert "| digits, samples/s | 2 | 2,000 | 2,000 | 1,700 | 1,754 | 0.85 | 0.877 |" in printed
    assert "| 2 | 11 | 8.5 |" in printed
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (1200, 380)


# ---- what it runs ----


class RunsHere(Runs):
    """Runs train.py's `run` in this process: for what does not need others."""

    def one(self, *overrides, torchrun=0):
        run_dir = Path(tempfile.mkdtemp(dir=self.folder))
        run_here(composed(*SHORT, *overrides, "trainer.log_every_n_steps=1", f"run_dir={run_dir}"))
        return run_dir


@pytest.mark.parametrize("unit", ["rows", "tokens"])
def test_the_memory_of_a_first_and_of_a_later_run_is_measured(unit, tmp_path):
    found = benchmark_scaling.memory(RunsHere(tmp_path, []), unit, [10_000, 20_000])
    for run in ("first", "later"):
        assert list(found["peak_mb"][run]) == [10_000, 20_000]
        assert found["peak_mb"][run][10_000] > 100
        assert found["bytes_each"][run] * 10_000 / 2**20 == pytest.approx(
            found["peak_mb"][run][20_000] - found["peak_mb"][run][10_000]
        )
    assert list(tmp_path.glob("*/cache")) == []  # what was generated is gone


def test_the_first_step_is_seen(tmp_path):
    start = time.perf_counter()
    seconds = benchmark_scaling.seconds_to_first_step(RunsHere(tmp_path, []), 1, "default", "lightning")
    assert 0 < seconds < time.perf_counter() - start


def test_processes_time_their_all_reduces():
    short, long = all_reduces([1 << 10, 1 << 24], 2, "gloo")
    assert 0 < short < long


def test_two_processes_train_side_by_side_and_together(tmp_path):
    args = argparse.Namespace(ranks=[2], repeats=1, trainer="ddp_cpu")
    found = benchmark_scaling.throughput(Runs(tmp_path, []), "digits", 4, args)
    assert (found["unit"], found["batch"]) == ("samples", 64)
    assert found["gradient_bytes"] == 376_744
    assert found["alone"].keys() == found["ddp"].keys() == {2}
    speeds = [metrics_of(run_dir)["train/samples_per_second"] for run_dir in tmp_path.iterdir()]
    assert found["ddp"][2] in speeds
    assert found["alone"][2] == pytest.approx(sum(speeds) - found["ddp"][2])


def test_a_run_that_fails_says_why(tmp_path):
    with pytest.raises(RuntimeError, match=r"conf/train\.yaml has no argument sed"):
        Runs(tmp_path, ["+sed=3"]).one()
