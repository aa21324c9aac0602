"""Lessons 2 and 3: learning rate, mini-batch size and ReLU, on images of five classes."""

import pandas as pd

from scripts.lessons.bench import Bench, Lesson
from scripts.lessons.figures import draw_curves, draw_dots, draw_scores, panels
from src.report.figures import ACCENT


def learning_rate(bench: Bench) -> Lesson:
    """Compare the rate that the finder finds with a much smaller and a much larger one."""
    searches = bench.train("lesson/mlp", {"search": ["callbacks=lr_find"]})
    found = searches[0].scores["lr/suggested"]
    factors = {"too small": 0.01, "found": 1.0, "too big": 100.0}
    settings = {f"{name}, {found * factor:.2g}": [f"model.lr={found * factor}"] for name, factor in factors.items()}
    jobs = bench.train("lesson/mlp", settings)
    figure, (search, curves, dots) = panels(3)
    tried = pd.read_csv(searches[0].run.lr_finder_csv)
    search.plot(tried["lr"], tried["loss"], ".", color="0.5")
    search.axvline(found, color=ACCENT)
    search.set(xscale="log", ylim=(None, 1.3 * tried["loss"][0]), xlabel="learning rate")
    search.set_title(f"loss of 100 steps, each at a higher rate\nfound: {found:.2g}")
    draw_curves(curves, jobs, "val/loss", "validation loss")
    curves.set_ylim(None, min(3, curves.get_ylim()[1]))
    means = draw_dots(dots, jobs, "test/accuracy", "test accuracy")
    dots.set_xticks(range(3), [name.replace(", ", "\n") for name in means])
    curves.legend(frameon=False)
    suggested = {job.seed: job.scores["lr/suggested"] for job in searches}
    return Lesson(figure, {"lr/suggested, by seed": suggested, "test/accuracy": means})


def batch_size(bench: Bench) -> Lesson:
    """Show that more images in a step are faster, take more memory, and make fewer steps in as many epochs."""
    sizes = bench.values("datamodule.batch_size", (16, 64, 256, 1024))
    settings = {
        size: [f"datamodule.batch_size={size}", "trainer.max_epochs=2", "trainer.log_every_n_steps=4"] for size in sizes
    }
    jobs = bench.train("lesson/five_classes", settings)
    figure, axes = panels(3)
    scores = {
        "train/samples_per_second": "images a second",
        "memory/peak_mb": "peak memory of the process, MB",
        "test/accuracy": "test accuracy after two epochs",
    }
    numbers = draw_scores(axes, jobs, scores, "images in a batch")
    axes[0].set_ylim(0, None)
    return Lesson(figure, numbers)


def relu(bench: Bench) -> Lesson:
    """Train the same linear layers with ReLU between them and without."""
    settings = {"with ReLU": ["model.net.relu=true"], "without": ["model.net.relu=false"]}
    jobs = bench.train("lesson/mlp", settings)
    figure, (training, validation, dots) = panels(3)
    draw_curves(training, jobs, "train/loss", "training loss")
    draw_curves(validation, jobs, "val/accuracy", "validation accuracy")
    training.legend(frameon=False)
    return Lesson(figure, {"test/accuracy": draw_dots(dots, jobs, "test/accuracy", "test accuracy")})
