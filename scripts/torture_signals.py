"""Sends training runs one signal each at a random moment of their whole life, and checks how they end.

    python -m scripts.torture_signals --signals 100 --seed 0
    python -m scripts.torture_signals --signals 9 --cases table

A run is right if it ends with exit status 128 + the signal's number and says so in one line, without a traceback. In
the first tenths of a second Python itself ends with the signal, which a shell shows as the same status. A signal that
comes after the end of a run does not count.
"""

import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from scripts.shared.arguments import chosen_cases, command_line
from scripts.torture_resume.cases import CASES, write_data
from scripts.torture_resume.runs import SIGNALS, TIMEOUT_S, Life, Run
from src.core.output import show

CATCHABLE = SIGNALS[1:]  # not SIGKILL
LATEST_HANDLERS_S = 2.0  # until then a program may have no handlers


def stop(run: Run, life: Life, draw: random.Random) -> tuple[str, str] | None:
    """Start a run and send it a signal at a random moment.

    Returns:
        In which part of its life it was, and what was wrong, empty if it ended as it should; None if the run had ended.
    """
    process, number, moment = run.start(), draw.choice(CATCHABLE), draw.uniform(0, life.total)
    time.sleep(moment)
    has_ended = process.poll() is not None
    process.send_signal(number)
    status = process.wait(TIMEOUT_S)
    said = run.log.read_text()
    if has_ended or (run.is_finished and status in (0, -number)):
        return None
    if status == -number and not said and moment < LATEST_HANDLERS_S:
        return "before its handlers", ""
    lines = [line for line in said.splitlines() if line.startswith("stopped by ")]
    part = "training" if "after step" in said else "test" if (run.folder / "checkpoints").is_dir() else "start-up"
    is_right = status == 128 + number and len(lines) == 1 and number.name in lines[0] and "Traceback" not in said
    return part, "" if is_right else f"{number.name} after {moment:.2f} s gave exit status {status}\n{said[-2000:]}"


def torture(folder: Path, cases: Sequence[str], *, signals: int, seed: int) -> int:
    """Send the signals, show the counts, and return exit status 1 if a run ended otherwise than it should."""
    draw, parts, wrong = random.Random(seed), Counter[str](), 0
    write_data(folder / "data")
    lives = {case: Run(case, folder / case, folder / "data").finish() for case in cases}
    sent = 0
    while parts.total() < signals:
        case = cases[sent % len(cases)]
        sent += 1
        place = folder / f"{case}_{sent}"
        ended = stop(Run(case, place, folder / "data"), lives[case], draw)
        shutil.rmtree(place)
        if ended is not None:
            parts[ended[0]] += 1
            wrong += bool(ended[1])
            show(f"{parts.total():3} {case:14} {ended[0]:20} {ended[1] or 'right'}")
    show(json.dumps({"signals": signals, "right": signals - wrong, **parts, "seed": seed}))
    return 1 if wrong else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Return exit status 1 if a run ended otherwise than it should."""
    parser = command_line("torture_signals", __doc__)
    parser.add_argument("--signals", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", default="digits,table,words", help="comma between names; the cases take turns")
    args = parser.parse_args(arguments)
    cases = chosen_cases(parser, args.cases, CASES)
    with tempfile.TemporaryDirectory() as folder:
        return torture(Path(folder), cases, signals=args.signals, seed=args.seed)


if __name__ == "__main__":
    sys.exit(main())
