"""Lessons 2 and 3: learning rate, mini-batch size, ReLU, on pictures of five classes."""

import csv

from scripts.lessons.bench import Bench, Lesson
from scripts.lessons.figures import draw_curves, draw_dots, draw_scores, panels
from src.report.figures import ACCENT


def learning_rate(bench: Bench) -> Lesson:
    """The finder's curve; a rate much smaller and one much larger than the found one, beside it."""
    searches = bench.train("lesson/mlp", {"search": ["callbacks=lr_find"]})
    found = searches[0].scores["lr/suggested"]
    factors = {"too small": 0.01, "found": 1.0, "too big": 100.0}
    settings = {f"{name}, {found * factor:.2g}": [f"model.lr={found * factor}"] for name, factor in factors.items()}
    jobs = bench.train("lesson/mlp", settings)
    figure, (search, curves, dots) = panels(3)
    with (searches[0].folder / "lr_finder.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    rates = [float(row["lr"]) for row in rows]
    losses = [float(row["loss"]) for row in rows]
    search.plot(rates, losses, ".", color="0.5")
    search.axvline(found, color=ACCENT)
    search.set(xscale="log", ylim=(None, 1.3 * losses[0]), xlabel="learning rate")
    search.set_title(f"loss of 100 steps, each at a higher rate\nfound: {found:.2g}")
    draw_curves(curves, jobs, "val/loss", "validation loss")
    curves.set_ylim(None, min(3, curves.get_ylim()[1]))
    means = draw_dots(dots, jobs, "test/accuracy", "test accuracy")
    dots.set_xticks(range(3), [name.replace(", ", "\n") for name in means])
    curves.legend(frameon=False)
    suggested = {job.seed: job.scores["lr/suggested"] for job in searches}
    return Lesson(figure, {"lr/suggested, by seed": suggested, "test/accuracy": means})


def batch_size(bench: Bench) -> Lesson:
    """More pictures in a step: faster and more memory, and fewer steps in as many epochs."""
    sizes = bench.values("datamodule.batch_size", (16, 64, 256, 1024))
    settings = {
        size: [f"datamodule.batch_size={size}", "trainer.max_epochs=2", "trainer.log_every_n_steps=4"] for size in sizes
    }
    jobs = bench.train("lesson/five_classes", settings)
    figure, axes = panels(3)
    scores = {
        "train/samples_per_second": "pictures a second",
        "memory/peak_mb": "peak memory of the process, MB",
        "test/accuracy": "test accuracy after two epochs",
    }
    numbers = draw_scores(axes, jobs, scores, "pictures in a batch")
    axes[0].set_ylim(0, None)
    return Lesson(figure, numbers)


def relu(bench: Bench) -> Lesson:
    """The same linear layers with ReLU between them and without."""
    settings = {"with ReLU": ["model.net.relu=true"], "without": ["model.net.relu=false"]}
    jobs = bench.train("lesson/mlp", settings)
    figure, (training, validation, dots) = panels(3)
    draw_curves(training, jobs, "train/loss", "training loss")
    draw_curves(validation, jobs, "val/accuracy", "validation accuracy")
    training.legend(frameon=False)
    return Lesson(figure, {"test/accuracy": draw_dots(dots, jobs, "test/accuracy", "test accuracy")})
