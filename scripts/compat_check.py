"""Trains at an older commit, goes on and predicts at the present one, and compares with the older one alone.

    python -m scripts.compat_check OLD_COMMIT                  # such as v0.1.0, HEAD~20 or 1a2b3c4
    python -m scripts.compat_check OLD_COMMIT --cases mlp,qrnn # cases of scripts.make_golden

For each case a small run is trained to its end at OLD_COMMIT, and another one is stopped there in mid-epoch. The
present fastlight resumes the stopped one, scores the finished one's best checkpoint, and answers with it (predict.py).
Weights, validation and test scores, and answers are compared with those of OLD_COMMIT. The old tree is a git worktree
in a temporary folder; it runs with this Python and its packages. Takes about two minutes for each case.
"""

import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scripts.make_golden.cases import CASES, GOLDEN, SAVED_AT, overrides
from scripts.shared.arguments import chosen_cases, command_line
from src.core.errors import ROOT, ConfigError
from src.core.explain import readable_errors
from src.core.output import show
from src.core.run_dir import RunDir

DEFAULT = "cnn_small,entity_mlp_ensemble,awd_lstm"  # one of each kind of data
TOLERANCE = 1e-6  # relative; 0 is expected, unless the changelog says that numbers have changed


class Case:
    """The runs of one case in a folder of its own.

    Args:
        name: of scripts.make_golden.
        folder: a new one.
        old: the tree of the older commit.
    """

    def __init__(self, name: str, folder: Path, old: Path) -> None:
        self.name, self.folder, self.old = name, folder, old
        self.whole, self.stopped, self.scored = (RunDir(folder / part) for part in ("whole", "stopped", "scored"))
        self.best = f"checkpoint={self.whole.best_ckpt}"
        folder.mkdir()

    def differences(self) -> dict[str, float]:
        """Run all; return by how much each thing that is compared differs, relative to its size.

        Raises:
            ConfigError: a program failed.
        """
        keep = {"_target_": "keep.Keep", "path": self.stopped.last_ckpt, "step": SAVED_AT, "stop": "true"}
        self._train(self.old, self.whole)
        self._train(self.old, self.stopped, *(f"+callbacks.keep.{key}={value}" for key, value in keep.items()))
        self._train(ROOT, self.stopped, "resume=true")
        self._train(ROOT, self.scored, "task=test", self.best)
        question = self._question()
        answers = [self._ask(tree, question) for tree in (self.old, ROOT)]
        whole, resumed, scored = (_scores(run) for run in (self.whole, self.stopped, self.scored))
        tested = {name: value for name, value in whole.items() if name in scored}
        return {
            "weights after resuming": _weights_differ(self.whole.last_ckpt, self.stopped.last_ckpt),
            "scores after resuming": _differ(list(whole.values()), [resumed.get(name) for name in whole]),
            "test scores": _differ(list(tested.values()), [scored[name] for name in tested]),
            "answers": _differ(*answers),
        }

    def _train(self, tree: Path, run: RunDir, *more: str) -> None:
        place = [f"run_dir={run.folder}", f"cache_dir={self.folder}/cache"]
        self._python(tree, "train.py", *overrides(self.name), *place, *more)

    def _question(self) -> str:
        if "experiment=digits" in CASES[self.name]:
            import numpy as np
            from PIL import Image

            (self.folder / "images").mkdir()
            for number, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (5, 8, 8), dtype=np.uint8)):
                Image.fromarray(pixels).save(self.folder / "images" / f"{number}.png")
            return f"input={self.folder}/images"
        if "experiment=table" in CASES[self.name]:
            return f"input={GOLDEN}/data/rows.csv"
        return "prompt=the snow falls"

    def _ask(self, tree: Path, question: str) -> list[Any]:
        """Ask the finished run's model; return the cells of its table, or the words of its text."""
        output = self.folder / f"{tree == ROOT}.csv"
        greedy = ["temperature=0", "length=20"] if question.startswith("prompt") else [f"output={output}"]
        said = self._python(tree, "predict.py", self.best, question, "device=cpu", *greedy)
        if not output.is_file():
            return said.split()
        with output.open(newline="") as file:
            return [cell for row in csv.reader(file) for cell in row]

    def _python(self, tree: Path, *arguments: str) -> str:
        places = os.pathsep.join([str(tree), str(self.folder.parent)])  # the latter has keep.py
        environment = {**os.environ, "PYTHONPATH": places, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, str(tree / arguments[0]), *arguments[1:]]
        how: dict[str, Any] = {"cwd": self.folder, "env": environment, "stdin": subprocess.DEVNULL}
        done = subprocess.run(command, check=False, capture_output=True, text=True, **how)
        if done.returncode:
            where = "the present tree" if tree == ROOT else "the old tree"
            raise ConfigError(f"{self.name}: {arguments[0]} failed in {where}: {done.stderr.strip()[-600:]}")
        return done.stdout


def _scores(run: RunDir) -> dict[str, float | None]:
    return {name: value for name, value in run.metrics().items() if name.startswith(("val/", "test/"))}


def _weights_differ(one: Path, other: Path) -> float:
    import torch

    pair = [torch.load(path, weights_only=True)["state_dict"] for path in (one, other)]
    if pair[0].keys() != pair[1].keys():
        return float("inf")
    pairs = [(weights.double(), pair[1][name].double()) for name, weights in pair[0].items()]
    return max(float((a - b).abs().max() / a.abs().max().clamp(min=1e-6)) for a, b in pairs)


def _differ(old: list[Any], new: list[Any]) -> float:
    """The largest relative difference of two lists of numbers and texts; infinite if a text differs."""
    if len(old) != len(new):
        return float("inf")
    found = 0.0
    for a, b in zip(old, new, strict=True):
        try:
            found = max(found, abs(float(a) - float(b)) / max(abs(float(a)), 1e-6))
        except (TypeError, ValueError):
            found = found if a == b else float("inf")
    return found


@contextmanager
def worktree(commit: str, folder: Path) -> Iterator[Path]:
    """Check a commit out into a folder within the block.

    Raises:
        ConfigError: git does not know it.
    """
    git = ["git", "-C", str(ROOT), "worktree"]
    done = subprocess.run([*git, "add", "--detach", folder, commit], check=False, capture_output=True, text=True)
    if done.returncode:
        raise ConfigError(f"git cannot check out {commit}: {done.stderr.strip().splitlines()[-1]}")
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=False, capture_output=True)


def check_compatibility(commit: str, cases: Sequence[str]) -> int:
    """Compare case by case; returns the exit status, 1 if something differs."""
    worst = 0.0
    with tempfile.TemporaryDirectory() as name, worktree(commit, Path(name) / "old") as old:
        (Path(name) / "keep.py").write_text((ROOT / "scripts" / "make_golden" / "keep.py").read_text())
        for case in cases:
            found = Case(case, Path(name) / case, old).differences()
            show(f"{case}: " + ", ".join(f"{what} {f'{by:.1e}' if by else 'identical'}" for what, by in found.items()))
            worst = max(worst, *found.values())
    show(json.dumps({"commit": commit, "cases": len(cases), "largest_difference": worst}))
    return 0 if worst <= TOLERANCE else 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Return exit status 1 if something differs by more than TOLERANCE."""
    parser = command_line("compat_check", __doc__)
    parser.add_argument("commit", metavar="OLD_COMMIT", help="what git knows: a tag, a branch or a hash")
    parser.add_argument("--cases", default=DEFAULT, help=f"comma between names, of {', '.join(CASES)}")
    args = parser.parse_args(arguments)
    cases = chosen_cases(parser, args.cases, CASES)
    with readable_errors("train"):
        return check_compatibility(args.commit, cases)


if __name__ == "__main__":
    sys.exit(main())
