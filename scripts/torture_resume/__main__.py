"""Kills training runs at random moments, resumes them, and compares what they leave with undisturbed runs, bit for bit.

    python -m scripts.torture_resume --kills 50 --seed 0
    python -m scripts.torture_resume --kills 4 --cases digits,table     # named in cases.py

It compares all that last.ckpt and best.ckpt hold (weights, averages, optimizer, schedule, loops, random states, hidden
state, callbacks), metrics.csv, metrics.json, the curves of the finders, text samples and the W&B run id, except times,
speeds, memory and paths. A run may be killed several times, also while it starts; one without a checkpoint starts anew.
"""

import json
import random
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.shared.arguments import chosen_cases, command_line
from scripts.torture_resume.cases import CASES, write_data
from scripts.torture_resume.endings import differing, ending
from scripts.torture_resume.runs import Life, Run, kill
from src.core.output import show

MAX_KILLS = 3  # of one run


class Torture:
    """Kills and resumes runs of the cases, in an order drawn by the seed, and counts what came of it."""

    def __init__(self, folder: Path, cases: Sequence[str], *, kills: int, seed: int) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # the children of a background job would ignore it
        self.folder, self.kills = folder, kills
        self.random = random.Random(seed)
        self.cases = self.random.sample(cases, len(cases))
        self.undisturbed: dict[str, tuple[Life, dict[str, Any]]] = {}
        self.counts = {"kills": 0, "identical": 0, "runs": 0, "cases": 0, "seed": seed}
        self.differing_runs = 0
        write_data(folder / "data")

    def all(self) -> int:
        """Torture until there are enough kills; returns the exit status, 1 if a run did not end as it should."""
        while self.counts["kills"] < self.kills:
            self._torture_one(self.cases[self.counts["runs"] % len(self.cases)])
        show(json.dumps(self.counts))
        return 1 if self.differing_runs else 0

    def _torture_one(self, case: str) -> None:
        life, expected = self._undisturbed(case)
        self.counts["runs"] += 1
        name = f"{self.counts['runs']:3} {case:14}"
        run, killed = Run(case, self.folder / f"{case}_{self.counts['runs']}", self.folder / "data"), 0
        for _ in range(self.random.randint(1, min(MAX_KILLS, self.kills - self.counts["kills"]))):
            if (what := kill(run, life, self.random)) is None:
                break
            killed += 1
            show(f"{name} {what}")
        if not run.is_finished:
            run.finish()
        found = list(differing(expected, ending(run.folder)))
        self.counts["kills"] += killed
        self.counts["identical"] += 0 if found else killed
        self.differing_runs += bool(found)  # also a run that ended before its first kill
        show(f"{name} {'differs: ' + ', '.join(found[:9]) if found else 'identical'}")

    def _undisturbed(self, case: str) -> tuple[Life, dict[str, Any]]:
        if case not in self.undisturbed:
            run = Run(case, self.folder / case, self.folder / "data")
            self.undisturbed[case] = run.finish(), ending(run.folder)
            self.counts["cases"] += 1
        return self.undisturbed[case]


def main(arguments: Sequence[str] | None = None) -> int:
    """Return exit status 1 if a run does not end like the undisturbed one."""
    parser = command_line("torture_resume", __doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", default=",".join(CASES), help="comma between names; the cases take turns")
    args = parser.parse_args(arguments)
    cases = chosen_cases(parser, args.cases, CASES)
    with tempfile.TemporaryDirectory() as folder:
        return Torture(Path(folder), cases, kills=args.kills, seed=args.seed).all()


if __name__ == "__main__":
    sys.exit(main())
