"""The course's lessons, each with one command: trains, measures, draws. docs/lessons.md says what they show.

    python -m scripts.lessons NAME [NAME ...] [key=value ...] [--out runs/lessons]

key=value as for train.py. What a lesson varies can be given other values, as in a multirun:

    python -m scripts.lessons approximation "datamodule.function='exp(x)*sin(9*x)'" seed=0,1
    python -m scripts.lessons dropout model.net.dropout=0,0.9

OUT/NAME.png is the picture, OUT/NAME.json the numbers with machine, date and seeds; OUT/NAME/ has a folder of each
training.
"""

import argparse
import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import matplotlib
import torch
from matplotlib.figure import Figure
from PIL import Image

from scripts.benchmark_scaling.processes import hardware
from scripts.lessons.bench import Bench, Lesson
from scripts.lessons.dropout import dropout
from scripts.lessons.embeddings import embeddings
from scripts.lessons.functions import approximation, linear
from scripts.lessons.softmax import softmax
from scripts.lessons.text import bptt, lstm_qrnn
from scripts.lessons.training import batch_size, learning_rate, relu
from src.core.explain import readable_errors

LESSONS: dict[str, Callable[[Bench], Lesson]] = {
    lesson.__name__: lesson
    for lesson in (
        approximation,
        linear,
        learning_rate,
        batch_size,
        softmax,
        relu,
        dropout,
        embeddings,
        bptt,
        lstm_qrnn,
    )
}


def run(name: str, overrides: list[str], out: Path) -> None:
    """Do a lesson; print its numbers and write them, and its picture."""
    started = time.perf_counter()
    bench = Bench(out / name, overrides)
    with matplotlib.rc_context({"font.size": 9, "axes.titlesize": 9}):
        lesson = LESSONS[name](bench)
        save(lesson.figure, out / f"{name}.png")
    facts = {"lesson": name, "overrides": overrides, "seeds": bench.seeds, "date": f"{date.today()}"}
    facts |= {**hardware(), "threads": torch.get_num_threads(), "seconds": round(time.perf_counter() - started)}
    numbers = {**facts, **lesson.numbers}
    (out / f"{name}.json").write_text(json.dumps(numbers, indent=1) + "\n")
    print(*lines_of(numbers), f"{out / name}.png, .json", sep="\n")


def save(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG of 256 colours, a third of the size."""
    whole = io.BytesIO()
    figure.savefig(whole, format="png")
    Image.open(whole).convert("RGB").quantize(256).save(path, optimize=True)


def lines_of(numbers: dict[str, Any]) -> Iterator[str]:
    """Nested numbers as indented text; a pair is a mean with its standard deviation."""
    for name, value in numbers.items():
        match value:
            case dict():
                yield f"{name}:"
                yield from (f"  {line}" for line in lines_of(value))
            case (float(mean), float(deviation)):
                yield f"{name}: {mean:.4g} ± {deviation:.2g}"
            case float():
                yield f"{name}: {value:.4g}"
            case _:
                yield f"{name}: {value}"


def main(arguments: list[str]) -> None:
    """Do the lessons named on the command line, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", metavar="NAME or key=value", help=", ".join(LESSONS))
    parser.add_argument("--out", type=Path, default=Path("runs/lessons"), help="for the pictures and the numbers")
    args = parser.parse_intermixed_args(arguments)
    names = [word for word in args.names if "=" not in word]
    if not names or not set(names) <= set(LESSONS):
        parser.error(f"name lessons, of {', '.join(LESSONS)}, got {' '.join(names) or 'none'}")
    with readable_errors("train"):
        for name in names:
            run(name, [word for word in args.names if "=" in word], args.out)


if __name__ == "__main__":
    main(sys.argv[1:])
