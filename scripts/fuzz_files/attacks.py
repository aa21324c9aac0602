"""The attacks: each changes one file in a copy of a sample, and names the program that then reads it."""

import random
import shutil
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

import predict
from scripts import compare_runs, report
from scripts.fuzz_files.mutations import mutated_bytes, mutated_value
from scripts.fuzz_files.samples import overrides
from src.core.check import check, composed
from src.core.explain import readable_errors
from src.core.run_dir import own_run_dir
from src.training.run import run

Program = Callable[[], object]
QUESTIONS = {"images": "input={}/questions/PNG.png", "tables": "input={}/questions/rows.csv", "text": "prompt=w1 w2"}


def asked(checkpoint: Path, question: str) -> None:
    """Do what predict.py does."""
    with readable_errors("predict"):
        choices = [f"checkpoint={checkpoint}", question, "device=cpu", "output=out/predictions.csv"]
        cfg = composed([*choices, "length=5"], "predict")
        check(cfg, predict.PREDICT)
        sys.exit(predict.run(cfg))


def trained(choices: Sequence[str]) -> None:
    """Do what train.py does."""
    with readable_errors("train"):
        cfg = composed(choices)
        check(cfg)
        with own_run_dir(cfg):
            run(cfg)


def checkpoint_bytes(samples: Path, folder: Path, draw: random.Random) -> Program:
    """Changed bytes of a checkpoint, for predict.py."""
    domain = draw.choice(list(QUESTIONS))
    path = folder / "a.ckpt"
    path.write_bytes(mutated_bytes((samples / "runs" / domain / "checkpoints/best.ckpt").read_bytes(), draw))
    return partial(asked, path, QUESTIONS[domain].format(samples))


def checkpoint_values(samples: Path, folder: Path, draw: random.Random) -> Program:
    """A changed value in what describes the model, for predict.py."""
    domain = draw.choice(list(QUESTIONS))
    path = folder / "a.ckpt"
    checkpoint = torch.load(samples / "runs" / domain / "checkpoints/best.ckpt", weights_only=True)
    part = draw.choice(("model", "spec"))
    saved = checkpoint["hyper_parameters"]
    saved[part] = mutated_value(saved[part], draw, _harm(samples))
    torch.save(checkpoint, path)
    return partial(asked, path, QUESTIONS[domain].format(samples))


def resumed_state(samples: Path, folder: Path, draw: random.Random) -> Program:
    """A changed value in the state of callbacks and loops, for train.py resume=true."""
    domain = draw.choice(list(QUESTIONS))
    shutil.copytree(samples / "runs" / domain, folder / "run")
    path = folder / "run" / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    part = draw.choice(("callbacks", "callbacks", "resume", "loops", "lr_schedulers", "hyper_parameters"))
    checkpoint[part] = mutated_value(checkpoint.get(part), draw, _harm(samples))
    torch.save(checkpoint, path)
    choices = overrides(domain, samples, folder / "run")
    return partial(trained, [*choices, "resume=true", "~callbacks.report"])


def image(samples: Path, folder: Path, draw: random.Random) -> Program:
    """Changed bytes of an image, for predict.py."""
    source = draw.choice(sorted([*(samples / "questions").glob("*.png"), *(samples / "questions").glob("[!.]*[pg]")]))
    path = folder / f"a{source.suffix}"
    path.write_bytes(mutated_bytes(source.read_bytes(), draw))
    return partial(asked, samples / "runs/images/checkpoints/best.ckpt", f"input={path}")


def table(samples: Path, folder: Path, draw: random.Random) -> Program:
    """Changed bytes of a table, for predict.py."""
    name = draw.choice(("rows.csv", "rows.csv", "rows.csv.gz", "rows.parquet", "rows.feather"))
    path = folder / name
    path.write_bytes(mutated_bytes((samples / "questions" / name).read_bytes(), draw))
    return partial(asked, samples / "runs/tables/checkpoints/best.ckpt", f"input={path}")


def text(samples: Path, folder: Path, draw: random.Random) -> Program:
    """Changed bytes of a text, for train.py."""
    path = folder / "data" / "words" / "words.txt"
    path.parent.mkdir(parents=True)
    path.write_bytes(mutated_bytes((samples / "questions" / "words.txt").read_bytes(), draw))
    choices = overrides("text", folder, folder / "run")
    return partial(trained, [*choices, "trainer.max_epochs=1", "~callbacks.report"])


def run_folder(samples: Path, folder: Path, draw: random.Random) -> Program:
    """Changed bytes of a small file of a run, for scripts.report and scripts.compare_runs."""
    domain = draw.choice(list(QUESTIONS))
    shutil.copytree(samples / "runs" / domain, folder / "runs" / "a")
    shutil.copytree(samples / "runs" / domain, folder / "runs" / "b")
    kinds = ("config.yaml", "config.yaml", "config.yaml", "metrics.csv", "metrics.json", "environment.json")
    path = folder / "runs" / "a" / draw.choice((*kinds, "overrides.json"))
    path.write_bytes(mutated_bytes(path.read_bytes() if path.is_file() else b"[]", draw))
    return _read_run(folder, samples, draw)


def config_values(samples: Path, folder: Path, draw: random.Random) -> Program:
    """A changed value in config.yaml, for scripts.report and scripts.compare_runs."""
    import yaml

    domain = draw.choice(list(QUESTIONS))
    for name in "ab":
        shutil.copytree(samples / "runs" / domain, folder / "runs" / name)
    path = folder / "runs" / "a" / "config.yaml"
    config: Any = mutated_value(yaml.safe_load(path.read_text()), draw, _harm(samples))
    path.write_text(yaml.safe_dump(config))
    return _read_run(folder, samples, draw)


def _read_run(folder: Path, samples: Path, draw: random.Random) -> Program:
    if draw.random() < 0.7:
        return partial(report.main, [str(folder / "runs" / "a"), f"--cache-dir={samples}/cache"])
    return partial(compare_runs.main, [str(folder / "runs"), "--out", "out/compare.html"])


def _harm(samples: Path) -> dict[str, Any]:
    return {"_target_": "os.mkdir", "_args_": [str(samples / "harm")]}


ATTACKS: dict[str, tuple[Callable[[Path, Path, random.Random], Program], int]] = {
    "checkpoint, bytes: predict.py": (checkpoint_bytes, 3),
    "checkpoint, values: predict.py": (checkpoint_values, 6),
    "checkpoint, state: resume=true": (resumed_state, 2),
    "image: predict.py": (image, 4),
    "table: predict.py": (table, 4),
    "text: train.py": (text, 1),
    "files of a run: report, compare_runs": (run_folder, 2),
    "config.yaml, values: report, compare_runs": (config_values, 3),
}  # the second number: its share of all attempts
