"""Tables and figures of made-up results."""

import json

import pytest
from PIL import Image

from scripts.benchmark_scaling.model import Link
from scripts.benchmark_scaling.report import by_model, main, tables

LINK = Link(latency_s=0.001, bytes_per_second=1e6)


def numbers(**changes):
    """An experiment of 100 rows a step; one process takes 50 ms, each of two side by side 100 ms."""
    return {
        "unit": "samples",
        "batch": 100,
        "gradient_bytes": 8000,
        "alone": {"1": 2000.0, "2": 2000.0},
        "ddp": {"2": 1700.0},
        **changes,
    }


def test_the_model_slows_the_ranks_that_share_a_machine_by_what_they_send():
    found = by_model(numbers(), LINK, 2)
    # 2 messages of 4,000 bytes, and 4 short ones: 2 x 5 ms + 4 x 1 ms.
    assert found["ddp_s"] == pytest.approx(0.014)
    assert found["compute_s"] == pytest.approx(0.1)
    assert found["ddp"] == pytest.approx(2 * 100 / (0.1 + 0.014))
    assert found["min_batch"] == pytest.approx(14)
    assert found["batch_for_90"] == pytest.approx(9 * 14)


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


def test_each_part_has_its_tables(result):
    throughput, model, link, rows, tokens, startup = tables(result)
    assert throughput.endswith("| flights, rows/s | 2 | 2,000 | 2,000 | 1,700 | 1,754 | 0.85 | 0.877 |")
    assert model.endswith("| flights, rows | 2 | 100 | 0.008 | 100 | 14 | 14 | 126 |")
    assert link.startswith("2 ranks: 1000 us a message, 0.00 GB/s\n\n| bytes | ms | by the link |")
    assert "| 7,000 | 9 | 9 |" in link
    assert "| 100,000 | 700 | 495 | 9 |\n| bytes each | 2118 | 53 |  |" in rows
    assert tokens.startswith("| tokens | first run, MB |")
    assert startup.endswith("| 1 | 6.5 | 8 |\n| 2 | 11 | 8.5 |")


def test_a_part_that_was_not_measured_has_no_table(result):
    assert len(tables({"startup": result["startup"]})) == 1


def test_the_parts_of_several_files_are_joined_and_drawn(result, tmp_path, capsys):
    for part in ("memory", "startup"):
        file = {part: result.pop(part), "hardware": "a machine", "torch": "2.13"}
        (tmp_path / part).write_text(f"progress\n{json.dumps(file)}\n")
    (tmp_path / "rest").write_text(json.dumps(result))
    main([*(str(tmp_path / name) for name in ("memory", "startup", "rest")), "--figure", str(tmp_path / "a.png")])
    printed = capsys.readouterr().out
    assert "| digits, samples/s | 2 | 2,000 |" in printed
    assert "| 2 | 11 | 8.5 |" in printed
    assert printed.endswith("a machine, PyTorch 2.13\n")
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (1200, 380)
