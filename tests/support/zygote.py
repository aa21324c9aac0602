"""Starts Python programs as processes of their own without seconds of imports: forks of one that has imported torch.

    process = start([ROOT / "train.py", "seed=1"], cwd=folder, env=environment, stdout=file, stderr=file)

A fork has its own pid, signals, working directory, environment and exit status, as a new interpreter has; but it finds
torch, Lightning and the like already imported. The code of this project is not: each fork reads it anew.
"""

import array
import atexit
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from contextlib import suppress
from functools import cache, partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
IMPORTED = """
torch torch._dynamo torch.distributed.fsdp torch.utils.flop_counter pytorch_lightning pytorch_lightning.strategies
torchmetrics torchmetrics.classification hydra hydra.utils omegaconf pandas pyarrow pyarrow.parquet sklearn.datasets
sklearn.metrics sklearn.model_selection scipy.stats matplotlib.figure matplotlib.backends.backend_agg rich.progress
rich.table jinja2 filelock yaml PIL.Image captum.attr kornia tokenizers wandb
""".split()  # noqa: SIM905

LIGHT = "hydra hydra.utils omegaconf filelock yaml rich.progress".split()  # noqa: SIM905  nothing of torch


class Process:
    """A started program, like subprocess.Popen."""

    def __init__(self, connection):
        self._connection, self._read = connection, b""
        self.pid = self._next_number(None)
        self.returncode = None

    def _next_number(self, timeout):
        self._connection.settimeout(timeout)
        while b"\n" not in self._read:
            self._read += self._connection.recv(64)
        line, self._read = self._read.split(b"\n", 1)
        return int(line)

    def wait(self, timeout=None):
        """The exit status, negative for a signal. A program that takes longer is killed, and TimeoutError raised."""
        if self.returncode is None:
            try:
                self.returncode = self._next_number(timeout)
            except TimeoutError:
                self.kill()
                raise
            self._connection.close()
        return self.returncode

    def poll(self):
        """The exit status, None while the program runs."""
        with suppress(TimeoutError):
            self.returncode = self._next_number(0.001) if self.returncode is None else self.returncode
        return self.returncode

    def __del__(self):
        self._connection.close()

    def send_signal(self, number):
        """Send a signal to the program."""
        os.kill(self.pid, number)

    def kill(self):
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


def start(command, *, cwd, env, stdout, stderr):
    """Start `python FILE.py ARGUMENTS` or `python -m MODULE ARGUMENTS`; stdout and stderr are open files.

    With LIGHT in `env`, torch is not imported before the program starts.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(address(is_light="LIGHT" in env))
    request = {"argv": list(map(str, command)), "cwd": str(cwd), "env": env, "root": str(ROOT)}
    request = json.dumps(request).encode()
    descriptors = array.array("i", [stdout.fileno(), stderr.fileno()])
    connection.sendmsg([len(request).to_bytes(4, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
    connection.sendall(request)
    return Process(connection)


@cache
def address(is_light):
    """The address of this process's zygote, which ends with it and imports torch when its first program starts."""
    folder = tempfile.mkdtemp()
    path = f"{folder}/zygote"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.support.zygote", path, *["light"] * is_light]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    atexit.register(process.communicate)  # it ends when its stdin does
    atexit.register(shutil.rmtree, folder)
    return path


def serve(path, imported):
    """Fork for each request until stdin ends."""
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(path)
    server.listen()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    asked = partial(select.select, [server, sys.stdin], [], [])
    if server in asked()[0]:
        for module in imported:
            __import__(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the processes that wait for programs
    while server in asked()[0]:
        connection, _ = server.accept()
        if os.fork() == 0:
            server.close()
            _wait_for_program(connection)
        connection.close()


def _wait_for_program(connection):
    """Fork once more, tell the pid, wait, and tell the exit status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    size, received, _, _ = connection.recvmsg(4, socket.CMSG_SPACE(8))
    stdout, stderr = array.array("i", received[0][2])
    request = b""
    while len(request) < int.from_bytes(size, "big"):
        request += connection.recv(1 << 16)
    pid = os.fork()
    if pid == 0:
        connection.close()
        _become(json.loads(request), stdout, stderr)
    os.close(stdout)
    os.close(stderr)
    connection.sendall(f"{pid}\n".encode())
    _, status = os.waitpid(pid, 0)
    connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _become(request, stdout, stderr):
    """Run the program in this process, then end as the interpreter does."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (stdout, 1), (stderr, 2)):
        os.dup2(source, target)
    os.closerange(3, 256)
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv = request["argv"]
    is_file = sys.argv[0].endswith(".py")
    sys.path[0] = str(Path(sys.argv[0]).resolve().parent) if is_file else request["root"]
    sys.path[1:1] = list(filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)))
    code = 0
    try:
        run = runpy.run_path if is_file else partial(runpy.run_module, alter_sys=True)
        run(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1], LIGHT if "light" in sys.argv else IMPORTED)
