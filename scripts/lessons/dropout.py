"""Lesson 4: dropout, and by how much dropped activations change a net's output."""

from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scripts.lessons.bench import Bench, Job, Lesson, first, over_seeds
from scripts.lessons.figures import draw_curves, panels
from scripts.lessons.softmax import test_pictures
from src.report.figures import line_style

MASKS = 20  # for each picture
PICTURES = 1000  # at most


def dropout(bench: Bench) -> Lesson:
    """Nets trained with several rates, and what dropping activations does to the outputs of the trained nets."""
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
    """`changes`: the norm of each output's change over that of the output; `same`: whether the prediction stays.

    With a share `rate` of the hidden activations dropped, by several random masks for each of many test pictures.
    """
    torch.manual_seed(0)
    model, images = job.model(), test_pictures(job)[0]
    images = images[:: -(-len(images) // PICTURES)]  # the classes come one after the other
    whole = model(images)
    hooks = [layer.register_forward_hook(partial(_drop, float(rate))) for layer in model.net.hidden if is_relu(layer)]
    outputs = torch.stack([model(images) for _ in range(MASKS)])
    for hook in hooks:
        hook.remove()
    changes = (outputs - whole).norm(dim=2) / whole.norm(dim=1)
    return {"changes": changes.flatten().numpy(), "same": float((outputs.argmax(2) == whole.argmax(1)).float().mean())}


def is_relu(layer: nn.Module) -> bool:
    """Whether a layer's outputs are the activations that dropout drops."""
    return isinstance(layer, nn.ReLU)


def _drop(rate: float, layer: nn.Module, inputs: tuple[Tensor, ...], activations: Tensor) -> Tensor:
    return F.dropout(activations, rate)


def summary(found: dict[str, Any]) -> dict[str, float]:
    """The changes' quartiles and the share of predictions that stay."""
    low, median, high = np.percentile(found["changes"], (25, 50, 75))
    return {"quarter below": low, "half below": median, "three quarters below": high, "same prediction": found["same"]}
