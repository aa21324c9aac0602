"""Cuts the power of training runs at random moments, resumes what is left on the disk, and compares the ends.

    python -m scripts.power_cut --cuts 20 --seed 0      # Linux, as root: it mounts disk images

A run writes on an ext4 disk in an image file. A cut is a copy of that file while the run is halted: it has what the
system has sent to the disk, and nothing of what it still keeps in memory. The copy is mounted, which replays its
journal, the run is resumed there, and must end bit for bit like an undisturbed one: weights, optimizer, random states,
every row of metrics.csv, scores. Not imitated: a disk that loses or reorders what it has confirmed.
"""

import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scripts.shared.arguments import chosen_cases, command_line
from scripts.torture_resume.cases import CASES, write_data
from scripts.torture_resume.endings import differing, ending
from scripts.torture_resume.runs import Life, Run
from src.core.files import sync
from src.core.output import show
from src.core.signals import exit_on_signals

IMAGE_BYTES = 96 << 20
CUTS_PER_RUN = 4


def can_mount(folder: Path) -> bool:
    """Whether this process may mount disk images."""
    image, point = folder / "try.img", folder / "try"
    point.mkdir()
    try:
        make_disk(image)
        with mounted(image, point):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


def make_disk(image: Path) -> None:
    """Make a file that holds an empty ext4 file system."""
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True, capture_output=True)


@contextmanager
def mounted(image: Path, point: Path) -> Iterator[str]:
    """Mount a disk image within the block; yields the name of its device."""
    subprocess.run(["mount", "-o", "loop", str(image), str(point)], check=True, capture_output=True)
    try:
        found = subprocess.run(["findmnt", "-no", "SOURCE", str(point)], check=True, capture_output=True, text=True)
        yield Path(found.stdout.strip()).name
    finally:
        subprocess.run(["umount", "--lazy", str(point)], check=True)  # lazy: a run that was stopped may still write


def copy_disk(image: Path, device: str, copy: Path) -> None:
    """Copy an image as it is at one moment: again, if the system has written to the disk meanwhile."""

    def writes() -> tuple[str, str]:
        numbers = Path(f"/sys/block/{device}/stat").read_text().split()
        return numbers[4], numbers[8]  # how many have ended, and how many are under way

    before = ("", "")
    while writes() != before or before[1] != "0":
        before = writes()
        shutil.copyfile(image, copy)


class PowerCuts:
    """Runs cases on a disk of their own, cuts the power, and counts what came of it."""

    def __init__(self, folder: Path, *, seed: int) -> None:
        self.folder, self.random = folder, random.Random(seed)
        self.image, self.point = folder / "disk.img", folder / "disk"
        self.point.mkdir(exist_ok=True)
        write_data(folder / "data")
        self.undisturbed: dict[str, tuple[Life, dict[str, Any]]] = {}
        self.counts = {"cuts": 0, "identical": 0, "with a checkpoint": 0, "seed": seed}

    def all(self, cases: Sequence[str], cuts: int) -> int:
        """Cut until there are enough; returns exit status 1 if a resumed run does not end as it should."""
        runs = 0
        while self.counts["cuts"] < cuts:
            self._cut(cases[runs % len(cases)], min(CUTS_PER_RUN, cuts - self.counts["cuts"]))
            runs += 1
        show(json.dumps(self.counts))
        return 1 if self.counts["identical"] < self.counts["cuts"] else 0

    def _cut(self, case: str, cuts: int) -> None:
        if case not in self.undisturbed:
            with self._new_disk():
                run = Run(case, self.point / case, self.folder / "data")
                self.undisturbed[case] = run.finish(), ending(run.folder)
        life, expected = self.undisturbed[case]
        with self._new_disk() as device:
            run = Run(case, self.point / case, self.folder / "data")
            sync(self.point)
            copies = list(self._copies(run, device, sorted(self.random.uniform(0, life.total) for _ in range(cuts))))
        for copy in copies:
            with mounted(copy, self.point):
                self._resume(run, case, expected)
            copy.unlink()

    @contextmanager
    def _new_disk(self) -> Iterator[str]:
        make_disk(self.image)
        with mounted(self.image, self.point) as device:
            yield device

    def _copies(self, run: Run, device: str, moments: list[float]) -> Iterator[Path]:
        """Start the run, copy the disk at these seconds of its life, and kill the run."""
        process, started = run.start(), time.time()
        try:
            for number, moment in enumerate(moments):
                time.sleep(max(0.0, started + moment - time.time()))
                if process.poll() is not None:
                    break
                copy = self.folder / f"copy_{number}.img"
                process.send_signal(signal.SIGSTOP)
                copy_disk(self.image, device, copy)
                process.send_signal(signal.SIGCONT)
                yield copy
        finally:
            process.kill()
            process.wait()

    def _resume(self, run: Run, case: str, expected: dict[str, Any]) -> None:
        left = run.state()
        try:
            run.finish()
            wrong = list(differing(expected, ending(run.folder)))[:9]
        except RuntimeError as failed:
            wrong = [str(failed)]
        self.counts["cuts"] += 1
        self.counts["identical"] += not wrong
        self.counts["with a checkpoint"] += "no checkpoint" not in left
        show(f"{self.counts['cuts']:3} {case:14} {left}: {'differs: ' + ', '.join(wrong) if wrong else 'identical'}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Return exit status 1 if a resumed run does not end like the undisturbed one."""
    parser = command_line("power_cut", __doc__)
    parser.add_argument("--cuts", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", default="digits,words,table", help="comma between names; the cases take turns")
    args = parser.parse_args(arguments)
    cases = chosen_cases(parser, args.cases, CASES)
    with exit_on_signals(requeue=False), tempfile.TemporaryDirectory() as folder:  # a signal leaves nothing mounted
        if not can_mount(Path(folder)):
            parser.error("disk images cannot be mounted here: run it as root, on Linux")
        return PowerCuts(Path(folder), seed=args.seed).all(cases, args.cuts)


if __name__ == "__main__":
    sys.exit(main())
