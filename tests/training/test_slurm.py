"""Training under a real SLURM, on this host."""

import csv
import os
import re
import subprocess
import sys
from contextlib import ExitStack

import pytest

from tests.support.programs import ENVIRONMENT, ROOT, SMALL, checkpoint_of, same, table_of, train_here
from tests.support.slurm_cluster import ask, cluster, missing_commands, wait

pytestmark = [pytest.mark.slurm, pytest.mark.long]
SWEEP = [sys.executable, str(ROOT / "train.py"), "-m", "hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1"]
WRONG = "model.lr=fast"
WORDS = "error: model.lr must be float, got 'fast'\n"


def preempted(step, urgent=False):
    prefix = "+callbacks.preempted"
    return (
        f"{prefix}._target_=tests.support.callbacks.preempted.Preempted",
        f"{prefix}.step={step}",
        f"{prefix}.urgent={urgent}",
    )


@pytest.fixture(scope="module")
def slurm():
    """The environment that a user of the cluster has."""
    if missing := missing_commands():
        pytest.skip(f"{', '.join(missing)} not installed: apt-get install slurm-wlm munge")
    with ExitStack() as stack:
        try:
            environment = stack.enter_context(cluster())
        except (OSError, RuntimeError) as error:
            pytest.skip(str(error))
        yield {**os.environ, **ENVIRONMENT, **environment}


class Batch:
    """A job of scripts/slurm/train.sbatch on the small training."""

    def __init__(self, slurm, folder, *arguments, **resources):
        self.folder, self.log, self.slurm = folder, folder / "log", slurm
        resources = {"cpus_per_task": 1, "time": 60, "job_name": "small", "output": self.log, **resources}
        flags = [f"--{key.replace('_', '-')}={value}" for key, value in resources.items()]
        command = ["sbatch", "--parsable", *flags, "scripts/slurm/train.sbatch", *SMALL, *arguments]
        environment = {**slurm, "PYTHON": sys.executable, "RUNS": str(folder)}
        self.id = subprocess.check_output(command, env=environment, cwd=ROOT, text=True).strip()

    def has_ended(self):
        shown = ask(self.slurm, "scontrol", "show", "job", self.id)
        self.exit_status = re.findall(r" ExitCode=(\d+):", shown)
        return re.search("JobState=(COMPLETED|FAILED|TIMEOUT|NODE_FAIL|CANCELLED)", shown)

    def finish(self):
        """Returns the exit status."""
        assert wait(600, self.has_ended), self.log.read_text()
        return int(self.exit_status[0])


class Sweep:
    """A `train.py -m` that waits for the jobs of its array."""

    def __init__(self, slurm, folder, *arguments):
        self.folder = folder
        command = [*SWEEP, f"run_dir={folder}", *arguments]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, env=slurm, cwd=folder, stdout=pipe, stderr=pipe, text=True)

    def finish(self):
        """Returns the exit status; the first call keeps what was said."""
        if self.process.returncode is None:
            self.out, self.err = self.process.communicate(timeout=600)
        return self.process.returncode


@pytest.fixture(scope="module")
def jobs(slurm, tmp_path_factory):
    """All of them, started together."""

    def folder():
        return tmp_path_factory.mktemp("job")

    return {
        "nodes": Batch(slurm, folder(), "trainer=ddp_cpu", nodes=2),
        "tasks": Batch(slurm, folder(), "trainer=ddp_cpu", *preempted(4), ntasks_per_node=2),
        "displaced": Batch(slurm, folder(), *preempted(8, urgent=True), partition="low"),
        "wrong": Batch(slurm, folder(), WRONG),
        "sweep": Sweep(slurm, folder(), "resume=auto", *SMALL, *preempted("99,8")),
        "wrong sweep": Sweep(slurm, folder(), f"{WRONG},1"),
    }


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The run_dir of the same training in one process, on no cluster."""
    return train_here(tmp_path_factory.mktemp("undisturbed"))


def finished(job):
    """The run_dir of a job of train.sbatch that ended well."""
    assert job.finish() == 0, job.log.read_text()
    return job.folder / f"small-{job.id}"


def assert_same_end(run_dir, other):
    for part in ("state_dict", "optimizer_states", "global_step"):
        assert same(checkpoint_of(run_dir)[part], checkpoint_of(other)[part]), part
    assert table_of(run_dir) == table_of(other)


def was_queued_again(log):
    return "DUE TO JOB REQUEUE" in log.read_text()


def test_two_nodes_train_together(jobs):
    run_dir = finished(jobs["nodes"])
    assert checkpoint_of(run_dir)["global_step"] == 3 * 3  # half as many steps as one process takes


def test_two_tasks_warned_and_queued_again_end_like_an_undisturbed_training_of_two(jobs):
    assert_same_end(finished(jobs["tasks"]), finished(jobs["nodes"]))
    assert was_queued_again(jobs["tasks"].log)


def test_a_job_whose_place_another_takes_ends_like_an_undisturbed_one(jobs, undisturbed):
    assert_same_end(finished(jobs["displaced"]), undisturbed)
    assert was_queued_again(jobs["displaced"].log)


def test_a_failing_job_says_why_in_its_log_and_fails(jobs):
    assert jobs["wrong"].finish() == 1
    assert WORDS in jobs["wrong"].log.read_text()


def test_a_sweep_ends_in_a_table_of_its_jobs(jobs):
    assert jobs["sweep"].finish() == 0, jobs["sweep"].err
    assert "test/accuracy" in jobs["sweep"].out
    first, second = csv.DictReader((jobs["sweep"].folder / "multirun.csv").read_text().splitlines())
    assert (first["job"], second["job"]) == ("0", "1")
    assert first["test/accuracy"] == second["test/accuracy"] != ""


def test_one_job_of_an_array_queued_again_ends_like_an_undisturbed_one(jobs, undisturbed):
    assert jobs["sweep"].finish() == 0, jobs["sweep"].err
    for name, was_preempted in (("0", False), ("1", True)):
        assert_same_end(jobs["sweep"].folder / name, undisturbed)
        (log,) = jobs["sweep"].folder.glob(f".submitit/*_{name}/*_log.err")
        assert was_queued_again(log) == was_preempted


def test_a_failing_job_of_a_sweep_tells_the_user_why(jobs):
    assert jobs["wrong sweep"].finish() == 1
    assert WORDS in jobs["wrong sweep"].err
    assert "Traceback" not in jobs["wrong sweep"].err


def test_what_sbatch_refuses_is_said_in_its_words(slurm, tmp_path):
    refused = Sweep(slurm, tmp_path, "hydra.launcher.partition=none")
    assert refused.finish() == 1
    assert "\nerror: sbatch: error: invalid partition specified: none\n" in refused.err
    assert "Traceback" not in refused.err


def test_without_slurm_the_launcher_says_so(tmp_path):
    lost = Sweep({**os.environ, "PATH": ""}, tmp_path)
    assert lost.finish() == 1
    assert lost.err == 'error: Could not detect "srun", are you indeed on a slurm cluster?\n'


def test_without_submitit_the_launcher_says_what_to_install(tmp_path):
    (tmp_path / "hydra_plugins.py").write_text("raise ImportError")
    lost = Sweep({**os.environ, "PYTHONPATH": str(tmp_path)}, tmp_path)
    assert lost.finish() == 1
    install = "pip install --constraint constraints.txt --editable '.[slurm]'"
    assert lost.err == f"error: hydra/launcher=slurm needs submitit: {install}\n"


def test_tasks_that_would_each_be_a_run_are_refused(slurm, tmp_path):
    places = [f"run_dir={tmp_path}/run", f"cache_dir={tmp_path}"]
    command = ["srun", "--ntasks-per-node=4", sys.executable, str(ROOT / "train.py"), *SMALL, *places]
    refused = subprocess.run(command, env=slurm, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    words = "error: srun started 4 processes, for 1 device: for one run on all of them give trainer=ddp"
    assert refused.stderr.count(words) == 4
    assert "for a run on its own give srun --ntasks=1" in refused.stderr
    assert not list(tmp_path.rglob("*.ckpt"))
    assert not list(tmp_path.rglob("config.yaml"))
