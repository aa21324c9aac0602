"""Processes that torchrun, Lightning or SLURM start are to be one run."""

import csv
import os
import subprocess
import sys
from datetime import datetime
from types import SimpleNamespace

import pytest
import torch

from src.core import ranks
from src.core.explain import explain
from src.core.ranks import check_ranks, gather, is_rank_zero, run_name, share, start_max
from tests.support.programs import ENVIRONMENT, ROOT, composed, program, run_here
from tests.support.tiny import trainer

QUICK = ("callbacks=default", "trainer.max_epochs=1", "trainer.log_every_n_steps=1", "datamodule.batch_size=200")
QUICK += ("trainer=ddp_cpu",)


def torchrun(*arguments, cwd):
    """The finished `torchrun --nproc-per-node 2 train.py ARGUMENTS`."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", str(ROOT / "train.py")]
    return subprocess.run(
        [*command, *arguments],
        cwd=cwd,
        env={**os.environ, **ENVIRONMENT},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    folder = tmp_path_factory.mktemp("torchrun")
    return folder, torchrun("-m", "seed=3,4", *QUICK, cwd=folder)


@pytest.mark.long
def test_torchrun_trains_a_multirun_in_one_folder(sweep):
    folder, finished = sweep
    assert finished.returncode == 0, finished.stderr
    [sweep_dir] = (folder / "runs" / "digits").iterdir()
    assert sorted(path.name for path in sweep_dir.iterdir() if path.is_dir()) == ["0", "1"]
    with (sweep_dir / "multirun.csv").open() as file:
        rows = list(csv.DictReader(file))
    # 1,294 rows, 400 a step, the rest dropped
    assert [(row["seed"], float(row["train/steps"])) for row in rows] == [("3", 3), ("4", 3)]


@pytest.mark.long
def test_the_batch_of_all_devices_is_said_once(sweep):
    _, finished = sweep
    assert finished.stdout.count("2 devices: batches of 200 on each, 400 a step\n") == 2  # jobs


@pytest.mark.long
def test_a_failing_job_ends_the_multirun_of_several_processes(tmp_path):
    # Only the first process looks for the data; the second waits for it.
    data = ["experiment=wikitext2_small", "datamodule=text_files", f"data_dir={tmp_path}", "datamodule.folder=none"]
    finished = torchrun("-m", "seed=0,1", *data, "trainer=ddp_cpu", f"run_dir={tmp_path}/sweep", cwd=tmp_path)
    assert finished.returncode != 0
    assert finished.stderr.count(f"{tmp_path}/none") == 1
    assert not (tmp_path / "sweep" / "1").exists()


def test_what_waits_for_a_process_that_is_gone_names_no_cause_of_its_own():
    lost = RuntimeError("[gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:951. GLHF!")
    assert explain(lost, [], "train") == "another process of this run has failed; its own error says why"


def test_a_multirun_whose_processes_lightning_would_start_is_refused(tmp_path):
    finished = program("train.py", "-m", f"run_dir={tmp_path}/sweep", *QUICK, cwd=tmp_path)
    assert finished.returncode == 1
    assert "use torchrun --nproc-per-node 2 train.py -m ..., or hydra/launcher=slurm" in finished.stderr
    assert "Traceback" not in finished.stderr


def devices(number, is_external=True):
    """A Trainer of so many devices, whose processes Lightning does not start."""
    environment = SimpleNamespace(creates_processes_externally=is_external)
    strategy = SimpleNamespace(cluster_environment=environment)
    return SimpleNamespace(world_size=number, strategy=strategy, is_global_zero=True)


def test_the_batch_of_several_devices_is_shown(capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    check_ranks(devices(3), 8)
    assert capsys.readouterr().out == "3 devices: batches of 8 on each, 24 a step\n"
    check_ranks(devices(3), None)
    assert capsys.readouterr().out == "3 devices: batches that fit the data on each\n"
    monkeypatch.delenv("WORLD_SIZE")
    check_ranks(devices(1), 8)
    assert capsys.readouterr().out == ""


def test_only_a_launcher_from_outside_may_start_the_processes_of_a_multirun(monkeypatch):
    check_ranks(devices(2, is_external=False), 8)
    monkeypatch.setattr(ranks, "in_multirun", lambda: True)
    check_ranks(devices(2), 8)
    check_ranks(devices(1, is_external=False), 8)
    with pytest.raises(ValueError, match="processes of 2 devices, each would run the whole sweep"):
        check_ranks(devices(2, is_external=False), 8)


def test_a_run_is_named_by_its_start_and_a_number_of_its_own(monkeypatch):
    monkeypatch.setattr(ranks, "datetime", SimpleNamespace(now=lambda: datetime(2026, 1, 2, 3, 4, 5)))
    numbers = iter(["00ff", "12ab"])
    monkeypatch.setattr(ranks.secrets, "token_hex", lambda size: next(numbers) if size == 2 else "")
    assert [run_name(), run_name()] == ["2026-01-02_03-04-05-00ff", "2026-01-02_03-04-05-12ab"]


def test_one_process_alone_gathers_its_own_value_and_number():
    assert gather({"a": 1}) == [{"a": 1}]
    assert start_max(torch.tensor(7)).wait() == 7


@pytest.fixture
def launched(monkeypatch):
    """Sets the variables of a launcher, and no others."""

    def launched(variables):
        for name in (*ranks.STARTED.values(), "SLURM_NTASKS"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return launched


def srun(tasks):
    return {"SLURM_NTASKS": tasks, "SLURM_STEP_NUM_TASKS": tasks, "PMI_SIZE": tasks}


@pytest.mark.parametrize(
    ("variables", "number", "is_external", "words"),
    [
        ({"WORLD_SIZE": "2"}, 1, False, "torchrun started 2 processes, for 1 device: for one run on all of them give"),
        ({"WORLD_SIZE": "1"}, 2, True, "torchrun started 1 process, for 2 devices"),
        (srun("4"), 1, False, "srun started 4 processes, for 1 device: for one run on all of them give trainer=ddp"),
        (srun("4"), 2, True, "srun started 4 processes, for 2 devices.*; for a run on its own give srun --ntasks=1"),
        (srun("4"), 4, False, "srun started 4 .* with any job name but bash and interactive"),
        ({"SLURM_NTASKS": "4"}, 4, True, "srun started 1 process, for 4 devices"),  # sbatch's script alone
        ({"OMPI_COMM_WORLD_SIZE": "4"}, 1, False, "mpirun started 4 .*: MPI does not connect them: start one run with"),
        ({"PMI_SIZE": "4"}, 4, False, "mpiexec started 4 processes, for 4 devices"),
    ],
)
def test_processes_that_would_not_be_one_run_are_refused(launched, variables, number, is_external, words):
    launched(variables)
    with pytest.raises(ValueError, match=words):
        check_ranks(devices(number, is_external), 8)


@pytest.mark.parametrize(
    ("variables", "number", "is_external"),
    [
        ({}, 1, False),
        ({}, 4, False),  # which Lightning starts
        ({"WORLD_SIZE": "4"}, 4, True),
        (srun("4"), 4, True),
        (srun("1"), 1, False),
        (srun("1"), 4, False),
        ({"SLURM_NTASKS": "4"}, 1, False),  # sbatch's script alone
        ({**srun("2"), "WORLD_SIZE": "8"}, 8, True),  # torchrun on two nodes
    ],
)
def test_processes_that_are_one_run_are_welcome(launched, variables, number, is_external):
    launched(variables)
    check_ranks(devices(number, is_external), 8)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"SLURM_NTASKS_PER_NODE": "4"}, "srun started 4 processes, for 1 device: for one run on all of them give"),
        ({}, "SLURM has 4 tasks, and no number for each node: for one run .*; for a run on its own give srun"),
        ({"SLURM_JOB_NAME": "bash"}, "srun started 4 processes, for 1 device"),
    ],
)
def test_a_trainer_of_one_device_is_refused_to_several_processes(launched, monkeypatch, more, words):
    launched(srun("4"))
    for name in ("SLURM_NTASKS_PER_NODE", "SLURM_JOB_NAME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in more.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=words):
        check_ranks(trainer(), 8)


@pytest.mark.skipif(torch.cuda.is_available(), reason="is refused without a GPU only")
def test_fsdp_asks_for_a_gpu(tmp_path):
    with pytest.raises(Exception, match=r"trainer=fsdp\) needs a GPU, and torch finds none; trainer=ddp_cpu"):
        run_here(composed("trainer=fsdp", f"run_dir={tmp_path}"))


@pytest.mark.parametrize(
    ("launched", "is_first"),
    [
        pytest.param({}, True, id="alone"),
        pytest.param({"RANK": "0", "LOCAL_RANK": "0"}, True, id="torchrun"),
        pytest.param({"RANK": "2", "LOCAL_RANK": "0"}, False, id="torchrun, second node"),
        pytest.param({"LOCAL_RANK": "1"}, False, id="Lightning"),
        pytest.param({"NODE_RANK": "1"}, False, id="Lightning, second node"),
        pytest.param({"SLURM_PROCID": "0"}, True, id="srun"),
        pytest.param({"SLURM_PROCID": "1"}, False, id="srun, second task"),
        pytest.param({"SLURM_PROCID": "0", "LOCAL_RANK": "1"}, False, id="Lightning in a job of one task"),
    ],
)
def test_the_first_process_is_known_by_its_launcher(monkeypatch, launched, is_first):
    for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in launched.items():
        monkeypatch.setenv(name, value)
    assert is_rank_zero() == is_first


def test_a_batch_of_all_ranks_is_shared_out():
    assert share(8, None, 3) == 8
    assert share(8, 12, 3) == 4


@pytest.mark.parametrize("size", [10, 0, -3])
def test_a_batch_that_the_ranks_cannot_share_evenly_is_refused(size):
    with pytest.raises(ValueError, match=rf"must be a multiple of the number of devices, got {size} and 3 devices"):
        share(8, size, 3)
