"""A callback that makes SLURM stop its own job at a chosen step."""

import os
import signal
import subprocess
import threading

import pytorch_lightning as pl


class Preempted(pl.Callback):
    """Has a signal sent to its own job during training, and continues once it has arrived; not in a requeued job.

    Args:
        urgent: let SLURM send it, for a job of a partition with priority; else send the warning before the time limit.
    """

    def __init__(self, *, step, urgent=False):
        self.step = step
        self.urgent = urgent

    def on_train_batch_start(self, trainer, *args):
        is_first_life = "SLURM_RESTART_COUNT" not in os.environ
        if is_first_life and trainer.is_global_zero and trainer.global_step == self.step:
            arrived = threading.Event()
            for number in (signal.SIGUSR1, signal.SIGTERM):
                announce(number, arrived)
            # check: not for the warning, which may reach scancel itself, a process of the job, and end it.
            subprocess.run(take_the_place() if self.urgent else send_the_warning(), check=self.urgent)
            assert arrived.wait(60), "no signal came"


def announce(number, arrived):
    handler = signal.getsignal(number)

    def handle_and_announce(*args):
        handler(*args)
        arrived.set()

    signal.signal(number, handle_and_announce)


def send_the_warning():
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    job = f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]
    return ["scancel", "--signal=USR1", job]


def take_the_place():
    node = os.environ["SLURMD_NODENAME"]
    return ["sbatch", "--partition=urgent", "--exclusive", f"--nodelist={node}", "--output=/dev/null", "--wrap=true"]
