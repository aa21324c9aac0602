"""Every block of README and of the pages on adding things runs: files are written where their first line says, commands
are given to the programs."""

import importlib
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from src.core.check import check
from tests.support.programs import metrics_of, run_here, table_of

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "docs" / "index.md", *sorted((ROOT / "docs").glob("adding_*.md"))]
BLOCKS = [block for page in PAGES for block in re.findall(r"```(\w+)\n(.*?)```", page.read_text(), re.DOTALL)]
COMMANDS = [line.split("#")[0].strip() for kind, text in BLOCKS if kind == "bash" for line in text.strip().split("\n")]
TRAININGS = [command for command in COMMANDS if command.startswith("python train.py") and " -m " not in command]


def files_of_the_pages():
    """The path and the text of each Python or YAML block; its first line is a comment that names the path."""
    for kind, text in BLOCKS:
        if kind in ("python", "yaml"):
            named = re.match(r"# (\S+)\n", text)
            assert named, f"the block must open with its path: {text[:40]}"
            yield named[1], text[named.end() :] if "@package" in text else text


def write_pages(folder):
    """Write the pages' files below a folder; returns their paths."""
    written = []
    for name, text in files_of_the_pages():
        assert not (ROOT / name).exists(), f"{name} exists already"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
        written.append(Path(name))
    return written


@pytest.fixture(scope="module")
def conf(tmp_path_factory):
    """A conf/ with the pages' files in it; their modules can be imported as if they were in src/."""
    copy = tmp_path_factory.mktemp("pages")
    shutil.copytree(ROOT / "conf", copy / "conf")
    modules = [path for path in write_pages(copy) if path.suffix == ".py"]
    with pytest.MonkeyPatch.context() as patch:
        for path in modules:
            package = importlib.import_module(".".join(path.parts[:-1]))
            patch.setattr(package, "__path__", [*package.__path__, str(copy / path.parent)])
        yield copy / "conf"
    for path in modules:
        sys.modules.pop(".".join(path.with_suffix("").parts), None)


def composed(conf, overrides):
    with initialize_config_dir(str(conf), version_base="1.3"):
        return compose("train", overrides)


RECIPES = ["experiment=stripes", "callbacks=weight_norm", "~callbacks.report"]


def test_the_recipes_together_train_to_what_the_experiment_says(conf, tmp_path):
    run_here(composed(conf, [*RECIPES, "trainer.log_every_n_steps=10", f"run_dir={tmp_path}"]))
    assert metrics_of(tmp_path)["test/accuracy"] == 1.0
    assert any(row["train/weight_norm"] for row in table_of(tmp_path))


@pytest.mark.long
def test_the_recipes_run_in_a_checkout_that_has_their_files(tmp_path):
    for name in ("src", "conf"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "train.py", tmp_path)
    write_pages(tmp_path)
    command = [sys.executable, "train.py", *RECIPES, "run_dir=run"]
    done = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert metrics_of(tmp_path / "run")["test/accuracy"] == 1.0


@pytest.mark.parametrize("command", TRAININGS)
def test_each_training_command_composes_and_passes_the_check(conf, command, tmp_path):
    overrides = [o for o in shlex.split(command)[2:] if not o.startswith(("checkpoint=", "run_dir=", "resume="))]
    if "task=test" in overrides:
        (tmp_path / "a.ckpt").touch()
        overrides.append(f"checkpoint={tmp_path}/a.ckpt")
    config = composed(conf, [*overrides, f"run_dir={tmp_path}"])
    if not re.search("stripes|linear|weight_norm", command):  # whose targets are in no checkout
        check(config)


def test_every_program_named_in_a_command_is_there():
    programs = [shlex.split(command)[1:3] for command in COMMANDS if command.startswith("python ")]
    for first, second in programs:
        module = ROOT.joinpath(*second.split(".")) if first == "-m" else ROOT / first
        assert module.with_suffix(".py").is_file() or (module / "__main__.py").is_file(), (first, second)


def test_every_make_command_is_a_target():
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    text = "\n".join(page.read_text() for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
    code = re.findall(r"```bash\n(.*?)```|`(make [^`]*)`", text, re.DOTALL)
    named = re.findall(r"^make (?:[A-Z]+=\S+ )*([a-z-]+)", "\n".join(map("".join, code)), re.MULTILINE)
    assert {"train", "test", "lint"} <= set(named) <= set(targets)
