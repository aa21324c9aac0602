"""Runs the course's lessons: each trains, measures and draws. docs/lessons.md explains the results.

    python -m scripts.lessons NAME [NAME ...] [key=value ...] [--out runs/lessons]

key=value is for train.py. What a lesson varies can get other values, several as in a multirun:

    python -m scripts.lessons approximation "datamodule.function='exp(x)*sin(9*x)'" seed=0,1
    python -m scripts.lessons dropout model.net.dropout=0,0.9

OUT/NAME.png is the figure, OUT/NAME.json the numbers with machine, date and seeds; OUT/NAME/ has a folder for each
training.
"""

import io
import json
import time
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import matplotlib
import torch
from matplotlib.figure import Figure
from PIL import Image

from scripts.lessons.bench import Bench
from scripts.lessons.dropout import dropout
from scripts.lessons.embeddings import embeddings
from scripts.lessons.functions import approximation, linear
from scripts.lessons.softmax import softmax
from scripts.lessons.text import bptt, lstm_qrnn
from scripts.lessons.training import batch_size, learning_rate, relu
from scripts.shared.arguments import command_line
from scripts.shared.hardware import hardware
from src.core.explain import readable_errors
from src.core.files import staged, write_text
from src.core.output import show

IN_ORDER = [approximation, linear, learning_rate, batch_size, softmax, relu, dropout, embeddings, bptt, lstm_qrnn]
LESSONS = {lesson.__name__: lesson for lesson in IN_ORDER}


def run(name: str, overrides: list[str], out: Path) -> None:
    """Do a lesson; show its numbers, write them, and save its figure."""
    started = time.perf_counter()
    bench = Bench(out / name, overrides)
    with matplotlib.rc_context({"font.size": 9, "axes.titlesize": 9}):
        lesson = LESSONS[name](bench)
        save_small(lesson.figure, out / f"{name}.png")
    numbers = {"lesson": name, "overrides": overrides, "seeds": bench.seeds, "date": f"{date.today()}"}
    numbers |= {**hardware(), "threads": torch.get_num_threads(), "seconds": round(time.perf_counter() - started)}
    numbers |= lesson.numbers
    write_text(out / f"{name}.json", json.dumps(numbers, indent=1) + "\n")
    show("\n".join([*lines_of(numbers), f"{out / name}.png, .json"]))


def save_small(figure: Figure, path: Path) -> None:
    """Save a figure as a PNG of 256 colours, which has a third of the size."""
    whole = io.BytesIO()
    figure.savefig(whole, format="png")
    with staged(path) as file:
        Image.open(whole).convert("RGB").quantize(256).save(file, optimize=True)


def lines_of(numbers: dict[str, Any]) -> Iterator[str]:
    """Write nested numbers as indented lines; a pair is a mean with its standard deviation."""
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


def main(arguments: Sequence[str] | None = None) -> None:
    """Do the lessons named on the command line, one after the other."""
    parser = command_line("lessons", __doc__)
    parser.add_argument("names", nargs="+", metavar="NAME or key=value", help=", ".join(LESSONS))
    parser.add_argument("--out", type=Path, default=Path("runs/lessons"), help="for the figures and the numbers")
    args = parser.parse_intermixed_args(arguments)
    names = [word for word in args.names if "=" not in word]
    if not names or not set(names) <= set(LESSONS):
        parser.error(f"name lessons among {', '.join(LESSONS)}; got {' '.join(names) or 'none'}")
    with readable_errors("train"):
        for name in names:
            run(name, [word for word in args.names if "=" in word], args.out)


if __name__ == "__main__":
    main()
