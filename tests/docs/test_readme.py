"""Every block of README and of the pages on adding things runs: files are written where their first line says, commands
are given to the programs."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from src.core.check import check

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "docs" / "index.md", *sorted((ROOT / "docs").glob("adding_*.md"))]
BLOCKS = [block for page in PAGES for block in re.findall(r"```(\w+)\n(.*?)```", page.read_text(), re.DOTALL)]
COMMANDS = [line.split("#")[0].strip() for kind, text in BLOCKS if kind == "bash" for line in text.strip().split("\n")]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the project with the README's files added."""
    copy = tmp_path_factory.mktemp("readme")
    for name in ("src", "conf", "train.py", "predict.py"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, copy / name)
    for kind, text in BLOCKS:
        if kind in ("python", "yaml"):
            path = re.match(r"# (\S+)\n", text)
            assert path, f"the block must open with its path: {text[:40]}"
            body = text[path.end() :] if "@package" in text else text
            assert not (copy / path[1]).exists(), f"{path[1]} exists already"
            (copy / path[1]).write_text(body)
    return copy


def test_the_recipes_together_train_to_what_the_experiment_says(checkout):
    command = [sys.executable, "train.py", "experiment=stripes", "callbacks=weight_norm", "run_dir=run"]
    done = subprocess.run(command, check=False, cwd=checkout, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert '"test/accuracy": 1.0' in (checkout / "run" / "metrics.json").read_text()
    assert "train/weight_norm" in (checkout / "run" / "metrics.csv").read_text()


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("python train.py") and "-m" not in c])
def test_each_training_command_composes_and_passes_the_check(checkout, command, tmp_path):
    overrides = [o for o in shlex.split(command)[2:] if not o.startswith(("checkpoint=", "run_dir=", "resume="))]
    if "task=test" in overrides:
        (tmp_path / "a.ckpt").touch()
        overrides.append(f"checkpoint={tmp_path}/a.ckpt")
    with initialize_config_dir(str(checkout / "conf"), version_base="1.3"):
        config = compose("train", [*overrides, f"run_dir={tmp_path}"])
        if not re.search("stripes|linear|weight_norm", command):  # whose targets stand in the copy
            check(config)


def test_every_make_command_is_a_target():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = [shlex.split(c)[1] for c in COMMANDS if c.startswith("make ")]
    assert named
    assert set(named) <= set(targets)
