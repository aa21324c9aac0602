"""Changes files at random places and lets the programs read them: nothing may run, vanish or fill the memory.

    python -m scripts.fuzz_files [--count 2000] [--seed 0] [--keep FOLDER]

Checkpoints, images, tables, texts and config.yaml of three small runs are changed, one at a time, and given to
predict.py, train.py, scripts.report and scripts.compare_runs, each in a process of its own. Each attempt must end with
a result, or with an error of one or two lines; without a traceback, a file outside of its folders, or more than 1 GB of
memory. It prints a table: attack, tried, results, errors, faults. Exit status 1 if there is a fault.
"""

import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from scripts.shared.arguments import command_line
from src.core.output import show

MAX_MEMORY = 1 << 30


def main(arguments: Sequence[str] | None = None) -> None:
    """Exit with status 1 if an attempt ends in another way than it may."""
    parser = command_line("fuzz_files", __doc__)
    parser.add_argument("--count", type=int, default=2000, help="attempts in all (2000)")
    parser.add_argument("--seed", type=int, default=0, help="of the changes (0)")
    parser.add_argument("--keep", type=Path, help="folder for the changed files of faults")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        sys.exit(fuzz(Path(folder).resolve(), args.count, args.seed, args.keep))


def fuzz(folder: Path, count: int, seed: int, keep: Path | None = None) -> int:
    """Make the samples, attack, and show the table; returns how many attempts ended in another way than they may."""
    import torch

    from scripts.fuzz_files.attacks import ATTACKS
    from scripts.fuzz_files.attempt import attempt
    from scripts.fuzz_files.samples import make_samples

    samples, place = folder / "samples", folder / "attempt"
    torch.set_num_threads(1)  # a forked process waits for ever for threads that its parent had
    make_samples(samples)
    (folder / "precious").mkdir()
    seen = outside(folder)
    found: dict[str, Counter[str]] = {name: Counter() for name in ATTACKS}
    for name, number in schedule({name: share for name, (_, share) in ATTACKS.items()}, count):
        place.mkdir()
        draw = random.Random(f"{seed} {name} {number}")
        ending = attempt(ATTACKS[name][0](samples, place, draw), place)
        fault, now = ending.fault(MAX_MEMORY), outside(folder)
        if now != seen:
            fault, seen = f"changed {', '.join(sorted(now ^ seen))}", now
        found[name][_kind(ending.status, fault)] += 1
        if fault:
            show(f"{name} {number}: {fault}")
            if keep is not None:
                shutil.copytree(place, keep / f"{list(ATTACKS).index(name)}-{number}", dirs_exist_ok=True)
        shutil.rmtree(place)
    show(table(found))
    return sum(ends["fault"] for ends in found.values())


def _kind(status: int, fault: str | None) -> str:
    return "fault" if fault else "error" if status else "result"


def schedule(shares: dict[str, int], count: int) -> Iterator[tuple[str, int]]:
    """Name each attack as often as its share of the count, and number its attempts."""
    turns = [name for name, share in shares.items() for _ in range(share)]
    numbers: Counter[str] = Counter()
    for turn in range(count):
        name = turns[turn * 7 % len(turns)]  # all kinds also in a short run; 7 divides no such length
        yield name, numbers[name]
        numbers[name] += 1


def outside(folder: Path) -> set[str]:
    """All files and folders except those of the attempt and of the cache."""
    apart = (folder / "attempt", folder / "samples" / "cache")
    return {str(path) for path in folder.rglob("*") if not any(path.is_relative_to(own) for own in apart)}


def table(found: dict[str, Counter[str]]) -> str:
    """The lines of a Markdown table."""
    lines = ["| attack | tried | results | errors in words | faults |", "| --- | --- | --- | --- | --- |"]
    for name, ends in [*found.items(), ("all", sum(found.values(), Counter()))]:
        lines.append(f"| {name} | {ends.total()} | {ends['result']} | {ends['error']} | {ends['fault']} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
