"""Lesson 4: dropout, and how much dropped activations change a net's output."""

from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scripts.lessons.bench import Bench, Job, Lesson, first, over_seeds
from scripts.lessons.figures import draw_curves, panels
from scripts.lessons.softmax import test_images
from src.report.figures import line_style

NUM_MASKS = 20  # for each image
MAX_IMAGES = 1000


def dropout(bench: Bench) -> Lesson:
    """Train with several rates, and show what dropped activations do to the outputs of the trained nets."""
    rates = bench.values("model.net.dropout", (0, 0.25, 0.5, 0.75))
    jobs = bench.train("lesson/mlp", {rate: [f"model.net.dropout={rate}"] for rate in rates})
    figure, (training, validation, changes) = panels(3)
    draw_curves(training, jobs, "train/loss", "training loss (with dropout)")
    draw_curves(validation, jobs, "val/loss", "validation loss (without)")
    training.legend(title="dropout", frameon=False)
    dropped = {rate: effect(rate, first(jobs, rate)) for rate in rates if float(rate)}
    for number, rate in enumerate(rates):
        if rate in dropped:
            found = np.sort(dropped[rate]["changes"])
            changes.plot(found, np.linspace(0, 1, len(found)), label=rate, **line_style(number))
    changes.set(xlim=(0, 2), xlabel="|change of the output| / |output|", title="share of outputs that change less")
    changes.legend(title="dropped", frameon=False, loc="lower right")
    numbers: dict[str, Any] = {name: over_seeds(jobs, name) for name in ("test/accuracy", "test/loss")}
    untrained = first(jobs, rates[0])
    return Lesson(
        figure,
        {
            **numbers,
            "dropping, net trained with this rate": {rate: summary(found) for rate, found in dropped.items()},
            f"dropping, net trained with {rates[0]}": {rate: summary(effect(rate, untrained)) for rate in dropped},
        },
    )


@torch.no_grad()
def effect(rate: str, job: Job) -> dict[str, Any]:
    """Drop a share `rate` of a net's hidden activations, by several random masks for each of many test images.

    Returns:
        `changes`: the norm of each output's change over that of the output; `same`: the share of unchanged predictions.
    """
    torch.manual_seed(0)
    model, images = job.model(), test_images(job)[0]
    images = images[:: -(-len(images) // MAX_IMAGES)]  # of all classes, which follow one another
    whole = model(images)
    hooks = [
        layer.register_forward_hook(partial(_drop, float(rate)))
        for layer in model.net.hidden
        if isinstance(layer, nn.ReLU)
    ]
    outputs = torch.stack([model(images) for _ in range(NUM_MASKS)])
    for hook in hooks:
        hook.remove()
    changes = (outputs - whole).norm(dim=2) / whole.norm(dim=1)
    return {"changes": changes.flatten().numpy(), "same": float((outputs.argmax(2) == whole.argmax(1)).float().mean())}


def _drop(rate: float, layer: nn.Module, inputs: tuple[Tensor, ...], activations: Tensor) -> Tensor:
    return F.dropout(activations, rate)


def summary(found: dict[str, Any]) -> dict[str, float]:
    """Take the quartiles of the changes, and the share of unchanged predictions."""
    low, median, high = np.percentile(found["changes"], (25, 50, 75))
    return {"quarter below": low, "half below": median, "three quarters below": high, "same prediction": found["same"]}
