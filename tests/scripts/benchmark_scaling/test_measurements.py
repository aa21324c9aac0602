"""What the benchmark runs: real runs on little data, and runs that only leave their numbers."""

import json
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from scripts.benchmark_scaling import __main__ as program
from scripts.benchmark_scaling import measurements
from scripts.benchmark_scaling.first_step import FirstStep
from scripts.benchmark_scaling.measurements import communication, medians, memory, seconds_to_first_step, throughput
from scripts.benchmark_scaling.processes import SHORT, Runs, all_reduces, metrics_of
from tests.support.programs import composed, run_here


class RunsHere(Runs):
    """Runs train.py's `run` in this process."""

    def one(self, *overrides, torchrun=0):
        run_dir = Path(tempfile.mkdtemp(dir=self.folder))
        run_here(composed(*SHORT, *overrides, *self.overrides, "trainer.log_every_n_steps=1", f"run_dir={run_dir}"))
        return run_dir


class MadeUpRuns(Runs):
    """Runs whose speed is 100 a second alone, and 80 each together; they note their overrides."""

    def __init__(self, folder):
        super().__init__(folder, [])
        self.started = []

    def one(self, *overrides, torchrun=0):
        self.started.append(overrides)
        [devices] = [int(o.split("=")[1]) for o in overrides if o.startswith("trainer.devices=")] or [1]
        return self._made(80.0 * devices)

    def at_once(self, copies, *overrides):
        self.started += [overrides] * copies
        return [self._made(100.0) for _ in range(copies)]

    def _made(self, speed):
        run_dir = Path(tempfile.mkdtemp(dir=self.folder))
        numbers = {"train/tokens_per_second": speed, "time/train_s": 6.0, "train/steps": 20}
        (run_dir / "metrics.json").write_text(json.dumps(numbers))
        return run_dir


def test_medians_of_turns():
    assert medians({"ddp": {2: [5.0, 1.0, 3.0], 4: [2.0]}}) == {"ddp": {2: 3.0, 4: 2.0}}


def test_throughput_is_the_sum_of_those_alone_and_that_of_one_ddp_run(tmp_path, monkeypatch):
    monkeypatch.setattr(measurements, "elsewhere", lambda function, run_dir: 8000)
    runs = MadeUpRuns(tmp_path)
    found = throughput(runs, "shakespeare", 7, trainer="ddp_cpu", ranks=[1, 3], repeats=2)
    assert found == {
        "unit": "tokens",
        "batch": 30,  # 100 a second x 6 s / 20 steps
        "gradient_bytes": 8000,
        "alone": {1: 100.0, 3: 300.0},
        "ddp": {3: 240.0},
    }
    assert len(runs.started) == 2 * (1 + 3 + 1)
    assert "trainer.accelerator=cpu" in runs.started[0]
    assert {"experiment=shakespeare", "trainer.limit_train_batches=7", "trainer=ddp_cpu"} <= {*runs.started[4]}


def test_all_reduces_have_usual_sizes_and_those_of_the_gradients(monkeypatch):
    monkeypatch.setattr(measurements, "all_reduces", lambda sizes, ranks, backend: [float(size) for size in sizes])
    found = communication([1024, 5000], 4, "ddp_cpu")
    assert found["num_ranks"] == 4
    assert list(found["all_reduce_s"]) == [1024, 4096, 5000, *(4**power for power in range(7, 14))]


@pytest.mark.parametrize(("trainer", "backend"), [("ddp_cpu", "gloo"), ("ddp", "nccl")])
def test_the_backend_follows_from_the_trainer(trainer, backend, monkeypatch):
    def all_reduces(sizes, ranks, chosen):
        assert chosen == backend
        return [0.0 for _ in sizes]

    monkeypatch.setattr(measurements, "all_reduces", all_reduces)
    communication([], 2, trainer)


SMALL = {"rows": ["model.net.widths=[3]"], "tokens": ["model.net.embedding_size=4", "model.net.hidden_size=5"]}


class Weighed(Runs):
    """Runs with a peak of 500 MB and the size of their data; a later run, which finds a cache, has half the data."""

    def one(self, *overrides, torchrun=0):
        [folder] = [Path(o.split("=")[1]) for o in overrides if o.startswith("data_dir=")]
        assert f"cache_dir={folder}/cache" in overrides
        share = 0.5 if (folder / "cache").exists() else 1.0
        (folder / "cache").mkdir(exist_ok=True)
        run_dir = Path(tempfile.mkdtemp(dir=self.folder))
        [data] = [path for path in folder.iterdir() if path.is_file()]
        (run_dir / "metrics.json").write_text(json.dumps({"memory/peak_mb": 500 + share * data.stat().st_size / 2**20}))
        return run_dir


@pytest.mark.parametrize(("unit", "bytes_each"), [("rows", 38), ("tokens", 6)])
def test_memory_grows_by_the_bytes_of_each_row_or_token(unit, bytes_each, tmp_path, capsys):
    found = memory(Weighed(tmp_path, []), unit, [10_000, 20_000, 40_000])
    assert found["bytes_each"]["first"] == pytest.approx(bytes_each, rel=0.25)
    assert found["bytes_each"]["later"] == pytest.approx(found["bytes_each"]["first"] / 2)
    assert list(found["peak_mb"]["later"]) == list(found["first_run_s"]) == [10_000, 20_000, 40_000]
    assert found["peak_mb"]["first"][40_000] > found["peak_mb"]["later"][40_000] > 500
    assert capsys.readouterr().out.startswith(f"10,000 {unit}: 500 MB, later 500 MB\n")
    assert list(tmp_path.glob("*/cache")) == []  # the generated data are gone


@pytest.mark.long
@pytest.mark.parametrize("unit", ["rows", "tokens"])
def test_the_memory_of_a_first_and_of_a_later_run_is_measured(unit, tmp_path):
    sizes = [1_000, 2_000] if unit == "rows" else [3_000, 6_000]
    found = memory(RunsHere(tmp_path, SMALL[unit]), unit, sizes)
    for run in ("first", "later"):
        small, large = (found["peak_mb"][run][size] for size in sizes)
        assert small > 100
        assert found["bytes_each"][run] * sizes[0] / 2**20 == pytest.approx(large - small)
    assert list(found["first_run_s"]) == sizes
    assert list(tmp_path.glob("*/cache")) == []  # the generated data are gone


@pytest.mark.parametrize(("launcher", "torchrun"), [("lightning", 0), ("torchrun", 2)])
def test_start_up_ends_with_the_last_ranks_first_step(launcher, torchrun, tmp_path):
    class Ranks(Runs):
        def one(self, *overrides, torchrun=0):
            [folder] = [o.split("=")[1] for o in overrides if o.startswith("+callbacks.first_step.folder=")]
            for rank, moment in enumerate([12.5, 14.0]):
                Path(folder, str(rank)).write_text(str(moment))
            self.torchrun = torchrun

    runs = Ranks(tmp_path, [])
    assert seconds_to_first_step(runs, 2, "ddp_cpu", launcher, clock=lambda: 10.0) == 4.0
    assert runs.torchrun == torchrun


def test_a_rank_notes_the_time_of_its_first_step_alone(tmp_path, monkeypatch):
    moments = iter([3.5, 9.0])
    monkeypatch.setattr(time, "time", lambda: next(moments))
    callback = FirstStep(folder=str(tmp_path))
    for batch in (0, 1):
        callback.on_train_batch_start(SimpleNamespace(global_rank=2), None, None, batch)
    assert (tmp_path / "2").read_text() == "3.5"


def test_a_run_with_the_callback_writes_its_first_step(tmp_path):
    assert seconds_to_first_step(RunsHere(tmp_path, []), 1, "default", "lightning", clock=lambda: 0.0) > 0


def test_the_program_measures_the_parts_that_are_asked_for(monkeypatch, capsys):
    monkeypatch.setattr(program, "startup", lambda runs, **choices: {"choices": {**choices}})
    monkeypatch.setattr(program, "elsewhere", lambda function: {"hardware": "a machine"})
    program.main(["--only", "startup", "--quick", "--ranks", "1", "4"])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    choices = {"trainer": "ddp_cpu", "ranks": [4], "repeats": 1}
    assert result == {"startup": {"choices": choices}, "hardware": "a machine"}


@pytest.mark.long
def test_processes_time_their_all_reduces():
    assert all(seconds > 0 for seconds in all_reduces([1 << 10, 1 << 20], 2, "gloo"))


@pytest.mark.long
def test_two_processes_train_side_by_side_and_together(tmp_path):
    found = throughput(Runs(tmp_path, []), "digits", 4, trainer="ddp_cpu", ranks=[2], repeats=1)
    assert (found["unit"], found["batch"]) == ("samples", 64)
    assert found["gradient_bytes"] == 376_744
    assert found["alone"].keys() == found["ddp"].keys() == {2}
    speeds = [metrics_of(run_dir)["train/samples_per_second"] for run_dir in tmp_path.iterdir()]
    assert found["ddp"][2] in speeds
    assert found["alone"][2] == pytest.approx(sum(speeds) - found["ddp"][2])


def test_a_run_that_fails_says_why(tmp_path):
    with pytest.raises(RuntimeError, match=r"conf/train\.yaml has no argument sed"):
        Runs(tmp_path, ["+sed=3"]).one()
