"""Lessons 1 and 3: how well nets learn a function, with and without ReLU."""

from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scripts.lessons.bench import Bench, Job, Lesson, first, over_seeds
from scripts.lessons.figures import draw_line, mark_sizes, panels
from src.report.figures import line_style

EXPERIMENT = "lesson/function"
FUNCTIONS = ("sin(3*x) + 0.5*abs(x)", "exp(-x**2)*cos(5*x)", "sign(sin(2*x))")
WIDTHS = ("[2,2]", "[4,4]", "[8,8]", "[16,16]", "[32,32]", "[64,64]")
LAYERS = ("[]", "[64]", "[64,64]", "[64,64,64]")


def approximation(bench: Bench) -> Lesson:
    """Show that a wider net of linear layers and ReLU comes nearer to any function."""
    functions = bench.values("datamodule.function", FUNCTIONS)
    widths = bench.values("model.net.widths", WIDTHS)
    functions = [function.strip("'\"") for function in functions]
    settings = {
        f"{function}, {width}": [f"datamodule.function='{function}'", f"model.net.widths={width}"]
        for function in functions
        for width in widths
    }
    jobs = bench.train(EXPERIMENT, settings)
    errors = over_seeds(jobs, "test/rmse")
    sizes = [float(width.strip("[]").split(",")[0]) for width in widths]
    figure, (error_axes, *others) = panels(len(functions) + 1, height=3.4)
    for number, (function, axes) in enumerate(zip(functions, others, strict=True)):
        of_function = [f"{function}, {width}" for width in widths]
        draw_line(error_axes, number, sizes, [errors[name] for name in of_function], label=function)
        shown = [(name, width) for name, width in zip(of_function, widths, strict=True)][-5::2]
        draw_functions(axes, {f"width {width.strip('[]')}": first(jobs, name) for name, width in shown})
        axes.set_title(function)
    error_axes.set(yscale="log", title="root mean square error")
    mark_sizes(error_axes, sizes, "width of the two hidden layers")
    figure.legend(*error_axes.get_legend_handles_labels(), loc="outside lower left", frameon=False)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower right", ncols=2, frameon=False)  # pyright: ignore[reportPossiblyUnboundVariable]
    return Lesson(figure, {"test/rmse": errors})


def linear(bench: Bench) -> Lesson:
    """Show that linear layers without ReLU between them are one linear layer."""
    layers = bench.values("model.net.widths", LAYERS)
    reach = {"with ReLU": "true", "without": "false"}
    settings = {
        f"{layer} {name}": [f"model.net.widths={layer}", f"model.net.relu={relu}"]
        for name, relu in reach.items()
        for layer in layers
    }
    jobs = bench.train(EXPERIMENT, settings)
    errors = over_seeds(jobs, "test/rmse")
    gap = max(distance_from_one_layer(job) for job in jobs if job.setting.endswith("without"))
    figure, (left, right) = panels(2)
    for number, name in enumerate(reach):
        draw_line(left, number, range(1, len(layers) + 1), [errors[f"{layer} {name}"] for layer in layers], label=name)
    left.set(xlabel="linear layers", title="root mean square error", ylim=(0, None))
    left.set_xticks(range(1, len(layers) + 1))
    left.legend(frameon=False)
    draw_functions(right, {f"{layers[-1]} {name}": first(jobs, f"{layers[-1]} {name}") for name in reach})
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower right", ncols=3, frameon=False)
    return Lesson(figure, {"test/rmse": errors, "largest difference from one layer": gap})


def distance_from_one_layer(job: Job) -> float:
    """Measure the largest difference, over the test points, between a net and the product of its matrices."""
    model = job.model()
    categories, continuous, *_ = job.data().splits["test"]
    weight, bias = one_layer([*model.net.hidden, model.net.head])
    with torch.no_grad():
        one = nn.functional.linear(model.net.numerical(continuous), weight, bias)
        return float((model(categories.long(), continuous) - one).abs().max())


def one_layer(layers: list[Any]) -> tuple[Tensor, Tensor]:
    """Join several linear layers in a row into one: its weight and its bias."""

    def joined(first: tuple[Tensor, Tensor], layer: nn.Linear) -> tuple[Tensor, Tensor]:
        return layer.weight @ first[0], layer.weight @ first[1] + layer.bias

    begin = (torch.eye(layers[0].in_features), torch.zeros(layers[0].in_features))
    return reduce(joined, layers, begin)


def draw_functions(axes: Any, jobs: dict[str, Job]) -> None:
    """Draw what nets have learned over the function itself."""
    for number, (name, job) in enumerate(jobs.items()):
        data, model = job.data(), job.model()
        categories, continuous, targets, _ = data.splits["test"]
        with torch.no_grad():
            values = model.predict(categories.long(), continuous)[:, 0].numpy()
        xs = np.linspace(data.low, data.high, len(values))
        if number == 0:
            axes.plot(xs, model.decoded(targets)[:, 0].numpy(), color="0.75", lw=4, label="the function")
        axes.plot(xs, values, **line_style(number), lw=1.5, label=name)
    axes.set_xlabel("x")
