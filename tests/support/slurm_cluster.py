"""A SLURM cluster on this host, for tests: real munged, slurmctld and three slurmd, on loopback.

Jobs of the partition "urgent" take the place of those in "low", both on node3; "main" has the nodes 1 and 2.
"""

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

COMMANDS = ("munged", "slurmctld", "slurmd", "sbatch", "srun")
NODES = ("node1", "node2", "node3")
SEARCHED = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])
CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SchedulerParameters=sched_interval=1,sched_min_interval=100000,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
KillWait=5
ReturnToService=2
{nodes}
PartitionName=main Nodes=node[1-2] Default=YES MaxTime=INFINITE
PartitionName=low Nodes=node3 MaxTime=INFINITE PriorityTier=1 GraceTime=60
PartitionName=urgent Nodes=node3 MaxTime=INFINITE PriorityTier=2
"""


def missing_commands():
    return [command for command in COMMANDS if shutil.which(command, path=SEARCHED) is None]


@contextmanager
def cluster():
    """Run the daemons during the block, and give it the environment variables of a user of the cluster.

    Raises RuntimeError with the daemons' output if the nodes are not ready after 30 s.
    """
    with tempfile.TemporaryDirectory(prefix="slurm-") as name, ExitStack() as daemons:
        folder = Path(name)
        configure(folder)
        environment = {
            "PATH": SEARCHED,
            "SLURM_CONF": f"{folder}/slurm.conf",
            "MASTER_ADDR": "127.0.0.1",  # by default the first node's name, which resolves nowhere
        }
        for command in commands(folder):
            daemons.enter_context(running(command, folder, environment))
        wait_for_nodes(folder, environment)
        try:
            yield environment
        finally:
            ask(environment, "scancel", "--user", getpass.getuser())
            wait(30, lambda: ask(environment, "squeue", "--noheader") == "")


def configure(folder):
    folder.chmod(0o755)  # munged's socket is for all
    for part in ("state", *(f"spool-{node}" for node in NODES)):
        (folder / part).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    host = socket.gethostname().split(".")[0]
    port, *ports = free_ports(1 + len(NODES))
    nodes = [
        f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=8\n"
        for node, port in zip(NODES, ports, strict=True)
    ]
    values = {"folder": folder, "host": host, "port": port, "user": getpass.getuser(), "nodes": "".join(nodes)}
    (folder / "slurm.conf").write_text(CONF.format(**values))


def free_ports(number):
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return [one.getsockname()[1] for one in sockets]


def commands(folder):
    munge = [f"--{part}-file={folder}/munge.{part}" for part in ("key", "pid", "log", "seed")]
    yield ["munged", "--foreground", f"--socket={folder}/munge.socket", *munge]
    yield ["slurmctld", "-D"]
    yield from (["slurmd", "-D", "-N", node] for node in NODES)


@contextmanager
def running(command, folder, environment):
    with (folder / f"{command[0]}.log").open("a") as log:
        daemon = subprocess.Popen(
            command, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        yield
    finally:
        daemon.terminate()
        try:
            daemon.wait(timeout=10)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


def ask(environment, *command):
    """What a SLURM command prints on stdout or stderr."""
    return subprocess.run(
        command,
        env={**os.environ, **environment},
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=30,
    ).stdout.strip()


def wait(timeout_s, is_done):
    """Whether it came true in time."""
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        if is_done():
            return True
        time.sleep(0.1)
    return False


def wait_for_nodes(folder, environment):
    states = ("sinfo", "--noheader", "--Node", "--partition=main,low", "--format=%t")
    if not wait(30, lambda: ask(environment, *states).split() == ["idle"] * len(NODES)):
        logs = "".join(path.read_text() for path in sorted(folder.glob("*.log")))
        raise RuntimeError(f"SLURM did not start:\n{logs}")
