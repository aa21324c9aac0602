"""Lesson 3: softmax turns activations into probabilities."""

import torch
from matplotlib.figure import Figure
from torch import Tensor

from scripts.lessons.bench import Bench, Job, Lesson, over_seeds
from src.report.figures import ACCENT, COLOURS, new_figure, without_box


def softmax(bench: Bench) -> Lesson:
    """Show a classifier's activations before and after softmax, for the first test image of each class."""
    jobs = bench.train("lesson/five_classes", {"FastNet": []})
    images, labels = test_images(jobs[0])
    model = jobs[0].model()
    with torch.no_grad():
        activations = torch.cat([model(some) for some in images.split(500)]).float()
    probabilities = activations.softmax(1)
    names = model.hparams["spec"]["class_names"]
    shown = torch.stack([(labels == number).nonzero()[0, 0] for number in range(len(names))])
    sums = probabilities.sum(1)
    numbers = {
        "test/accuracy": over_seeds(jobs, "test/accuracy"),
        "images": len(sums),
        "largest difference of a sum of probabilities from 1": float((sums - 1).abs().max()),
        "smallest probability": float(probabilities.min()),
        "smallest sum of activations": float(activations.sum(1).min()),
        "largest sum of activations": float(activations.sum(1).max()),
    }
    return Lesson(draw_activations(images[shown], activations[shown], probabilities[shown], names), numbers)


def test_images(job: Job) -> tuple[Tensor, Tensor]:
    """Read a job's test set: images (rows, channels, height, width), labels (rows,)."""
    test = job.data().splits["test"]
    return test.images[test.rows].permute(0, 3, 1, 2), test.own_labels


def draw_activations(images: Tensor, activations: Tensor, probabilities: Tensor, names: list[str]) -> Figure:
    """Draw a row for each image: itself, its activations, its probabilities; the highest has another colour."""
    figure = new_figure(8, 1.3 * len(images))
    figure.set_layout_engine("constrained")
    widths: dict[str, list[float]] = {"width_ratios": [1, 2.6, 2.6]}
    reach = 1.35 * float(activations.abs().max())  # leaves room for the numbers
    places = range(len(names))
    for row, (photo, before, after) in enumerate(figure.subplots(len(images), 3, gridspec_kw=widths, squeeze=False)):
        photo.imshow(images[row].permute(1, 2, 0).numpy(), interpolation="none")
        photo.axis("off")
        for axes, values, limits in ((before, activations, (-reach, reach)), (after, probabilities, (0, 1.25))):
            colours = [ACCENT] * len(names)
            colours[int(values[row].argmax())] = COLOURS[1]
            bars = axes.barh(places, values[row].tolist(), color=colours)
            axes.bar_label(bars, [f"{value:.2f}" for value in values[row].tolist()], padding=3, fontsize=8)
            axes.set_yticks(places, names if axes is before else [], fontsize=9)
            axes.invert_yaxis()
            axes.set_xlim(limits)
            without_box(axes)
        before.axvline(0, color="0.5", lw=0.8)
        before.set_title(f"{'activations: ' * (row == 0)}sum {activations[row].sum():.2f}", fontsize=9)
        after.set_title(f"{'after softmax: ' * (row == 0)}sum {probabilities[row].sum():.2f}", fontsize=9)
    return figure
