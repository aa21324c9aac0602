"""What train.py shows of itself: the list of experiments, and a config as a tree. Without torch."""

import difflib
import json
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from src.core.domains import domain_of_target, domains
from src.core.errors import CONF, ConfigError
from src.core.output import show, show_rich
from src.core.ranks import is_rank_zero

EXPERIMENTS = CONF / "experiment"
LESSONS, OTHERS = "Lessons (docs/lessons.md)", "Others"
INDENT = 23


def list_if_asked(folder: Path = EXPERIMENTS) -> None:
    """Answer `python train.py --list` and leave. Raises ConfigError for a slip in it, or words beside it."""
    arguments = sys.argv[1:]
    for argument in arguments:
        if argument != "--list" and difflib.get_close_matches(argument, ["--list"], cutoff=0.7):
            raise ConfigError(f"there is no flag {argument}; did you mean --list?")
    if "--list" in arguments:
        if len(arguments) > 1:
            raise ConfigError(f"--list stands alone, got {' '.join(arguments)}; for one experiment, see --cfg job")
        show(listing(folder))
        sys.exit()


def listing(folder: Path) -> str:
    """Every experiment below a folder with what to expect of it, by kind, within 80 columns."""
    kinds: dict[str, list[str]] = {heading: [] for heading in (*(d.title for d in domains()), OTHERS, LESSONS)}
    for path in sorted(folder.rglob("*.yaml")):
        heading = LESSONS if path.is_relative_to(folder / "lesson") else _heading(_model(path, folder))
        name = str(path.relative_to(folder).with_suffix(""))
        kinds[heading].append(_entry(name, expectation(path)))
    parts = ["\n".join([f"{heading}:", *entries]) for heading, entries in kinds.items() if entries]
    return "\n\n".join([*parts, "Start one: python train.py experiment=NAME"])


def _entry(name: str, text: str) -> str:
    return textwrap.fill(f"  {name:{INDENT - 3}} {text}", 80, subsequent_indent=" " * INDENT)


def expectation(path: Path) -> str:
    """The comment in the second line of an experiment's file, to the end of its sentence; empty if there is none."""
    words = []
    for line in path.read_text().splitlines()[1:]:
        if not line.startswith("# ") or (words and words[-1].endswith(".")):
            break
        words.append(line[2:].strip())
    return " ".join(words)


def _model(path: Path, folder: Path) -> str:
    """The model of an experiment, or of the one that it builds on; train.yaml's if neither names one."""
    text = path.read_text()
    if chosen := re.search(r"override /model: (\w+)", text):
        return chosen[1]
    parent = re.search(r"^  - ([a-z]\w*)$", text, re.MULTILINE)
    base = folder / f"{parent[1]}.yaml" if parent else path
    if base != path and base.is_file():
        return _model(base, folder)
    default = re.search(r"^  - model: (\w+)$", (CONF / "train.yaml").read_text(), re.MULTILINE)
    return default[1] if default else ""


def _heading(model: str) -> str:
    """The title of the domain whose package holds what conf/model/MODEL.yaml builds."""
    path = CONF / "model" / f"{model}.yaml"
    target = re.search(r"^_target_: (\S+)$", path.read_text(), re.MULTILINE) if path.is_file() else None
    domain = domain_of_target(target[1]) if target else None
    return domain.title if domain else OTHERS


def print_if_asked(cfg: DictConfig) -> None:
    """Print the whole config, resolved, as a tree, if print_config=true; in colour on a terminal."""
    if not cfg.get("print_config") or not is_rank_zero():
        return
    from rich.tree import Tree  # a tenth of a second that --help does not wait for

    tree = Tree("config")
    _grow(tree, OmegaConf.to_container(cfg, resolve=True))
    show_rich(tree, width=10_000)  # a long value stays in one line, to be copied or piped


def _grow(tree: Any, node: Any) -> None:
    from rich.highlighter import ReprHighlighter
    from rich.text import Text

    for key, value in node.items():
        if isinstance(value, dict) and value:
            _grow(tree.add(Text(str(key), style="bold cyan")), value)
        else:
            shown = value if isinstance(value, str) else json.dumps(value)
            tree.add(Text.assemble((f"{key}: ", "cyan"), ReprHighlighter()(shown)))
