"""Makes tables and a figure of what benchmark_scaling has found.

    python -m scripts.benchmark_scaling.report FILE ... [--figure docs/images/scaling.png]

FILE holds what the benchmark has printed; its last line counts. Several files, with a part each, are joined.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.benchmark_scaling.model import Link, efficiency, fit_link, min_batch
from scripts.shared.arguments import command_line
from scripts.shared.markdown import markdown_table
from src.core.output import show
from src.report.figures import COLOURS, new_figure


def link_of(communication: dict[str, Any]) -> Link:
    """Find the link that explains the all-reduces."""
    sizes, seconds = map(float, communication["all_reduce_s"]), communication["all_reduce_s"].values()
    return fit_link([*sizes], [*seconds], communication["num_ranks"])


def by_model(numbers: dict[str, Any], link: Link, ranks: int) -> dict[str, float]:
    """Predict an experiment's speed on several ranks, and the batches from which on they pay.

    Computing takes as long as it takes while as many other processes share memory and cores with it.
    """
    batch, alone, num_bytes = numbers["batch"], numbers["alone"][str(ranks)], numbers["gradient_bytes"]
    compute_s = ranks * batch / alone
    ddp_s = link.ddp_s(num_bytes, ranks)
    return {
        "compute_s": compute_s,
        "ddp_s": ddp_s,
        "ddp": alone * efficiency(compute_s, ddp_s),
        "min_batch": min_batch(batch, compute_s, ddp_s, efficiency=1 / ranks),
        "batch_for_90": min_batch(batch, compute_s, ddp_s, efficiency=0.9),
    }


def throughput_table(throughput: dict[str, Any], link: Link) -> str:
    """Write a row for each experiment and number of ranks."""
    head = ["experiment", "ranks", "one process", "as many alone", "DDP", "by the model"]
    rows = []
    for name, numbers in throughput.items():
        for ranks, ddp in numbers["ddp"].items():
            alone, model = numbers["alone"][ranks], by_model(numbers, link, int(ranks))["ddp"]
            speeds = [numbers["alone"]["1"], alone, ddp, model]
            rows.append([f"{name}, {numbers['unit']}/s", ranks, *speeds, ddp / alone, model / alone])
    return markdown_table([*head, "DDP over alone", "by the model"], rows)


def model_table(throughput: dict[str, Any], link: Link) -> str:
    """Write from which batch on several ranks pay, by the model."""
    head = ["experiment", "ranks", "batch", "gradients, MB", "computes, ms", "sends, ms", "pays from", "90 % from"]
    rows = []
    for name, numbers in throughput.items():
        for ranks in numbers["ddp"]:
            model = by_model(numbers, link, int(ranks))
            times = [numbers["gradient_bytes"] / 1e6, 1e3 * model["compute_s"], 1e3 * model["ddp_s"]]
            batches = [round(model[name]) for name in ("min_batch", "batch_for_90")]
            rows.append([f"{name}, {numbers['unit']}", ranks, numbers["batch"], *times, *batches])
    return markdown_table(head, rows)


def link_table(communication: dict[str, Any], link: Link) -> str:
    """Write the seconds of all-reduces, measured and by the link."""
    ranks = communication["num_ranks"]
    rows = [
        [int(size), 1e3 * seconds, 1e3 * link.all_reduce_s(int(size), ranks)]
        for size, seconds in communication["all_reduce_s"].items()
    ]
    found = f"{ranks} ranks: {1e6 * link.latency_s:.0f} us a message, {link.bytes_per_second / 1e9:.2f} GB/s\n\n"
    return found + markdown_table(["bytes", "ms", "by the link"], rows)


def memory_table(unit: str, memory: dict[str, Any]) -> str:
    """Write the peaks by size; the last row is the slope."""
    peaks, slopes = memory["peak_mb"], memory["bytes_each"]
    rows = [[int(n), peaks["first"][n], peaks["later"][n], memory["first_run_s"][n]] for n in peaks["first"]]
    head = [unit, "first run, MB", "later run, MB", "first run, s"]
    return markdown_table(head, [*rows, ["bytes each", *(f"{slope:z.0f}" for slope in slopes.values()), ""]])


def startup_table(startup: dict[str, Any]) -> str:
    """Write the seconds by launcher and number of ranks."""
    head = ["ranks", *(f"by {launcher}, s" for launcher in startup)]
    return markdown_table(head, [[ranks, *(of[ranks] for of in startup.values())] for ranks in startup["lightning"]])


def tables(result: dict[str, Any]) -> list[str]:
    """Write the tables of all parts that were measured."""
    found = []
    if "throughput" in result:
        link = link_of(result["communication"])
        found += [throughput_table(result["throughput"], link), model_table(result["throughput"], link)]
        found.append(link_table(result["communication"], link))
    found += [memory_table(unit, memory) for unit, memory in result.get("memory", {}).items()]
    return found + ([startup_table(result["startup"])] if "startup" in result else [])


def draw_scaling(result: dict[str, Any], path: Path) -> None:
    """Draw speed by processes, and memory by rows and by tokens."""
    figure = new_figure(12, 3.8)
    figure.set_layout_engine("constrained")
    speed, *memory = figure.subplots(1, 3)
    draw_throughput(speed, result["throughput"], link_of(result["communication"]))
    for axes, (unit, found) in zip(memory, result["memory"].items(), strict=True):
        draw_memory(axes, unit, found)
    figure.savefig(path)


def draw_throughput(axes: Any, throughput: dict[str, Any], link: Link) -> None:
    """Draw the speed over that of one process: alone dotted, DDP solid, the model a cross."""
    for (name, numbers), colour in zip(throughput.items(), COLOURS, strict=False):
        one = numbers["alone"]["1"]
        alone = {int(ranks): speed / one for ranks, speed in numbers["alone"].items()}
        ddp = {1: 1.0} | {int(ranks): speed / one for ranks, speed in numbers["ddp"].items()}
        model = {ranks: by_model(numbers, link, ranks)["ddp"] / one for ranks in ddp if ranks > 1}
        axes.plot(*zip(*alone.items(), strict=True), color=colour, linestyle=":")
        axes.plot(*zip(*ddp.items(), strict=True), color=colour, marker="o", label=name)
        axes.plot(*zip(*model.items(), strict=True), color=colour, marker="x", markersize=9, linestyle="none")
    ranks = [int(ranks) for numbers in throughput.values() for ranks in numbers["alone"]]
    axes.plot([], [], color="0.3", linestyle=":", label="alone, side by side")
    axes.plot([], [], color="0.3", marker="x", linestyle="none", label="DDP by the model")
    axes.plot([1, max(ranks)], [1, max(ranks)], color="0.8", zorder=0)
    axes.set_xticks(sorted(set(ranks)))
    axes.set_xlabel("processes")
    axes.set_title("speed, one process = 1")
    axes.legend(frameon=False)


def draw_memory(axes: Any, unit: str, memory: dict[str, Any]) -> None:
    """Draw the peak memory of the first run and of a later one."""
    for (run, peaks), colour in zip(memory["peak_mb"].items(), COLOURS, strict=False):
        label = f"{run} run: {memory['bytes_each'][run]:z.0f} bytes each"
        axes.loglog([int(size) for size in peaks], [*peaks.values()], color=colour, marker="o", label=label)
    axes.set_xlabel(unit)
    axes.set_ylim(100, 10_000)
    axes.set_title("peak memory, MB")
    axes.legend(frameon=False)
    axes.grid(color="0.9")


def main(arguments: Sequence[str] | None = None) -> None:
    """Show the tables, and draw the figure if it is asked for."""
    parser = command_line("benchmark_scaling.report", __doc__)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--figure", type=Path, help="PNG; needs all parts")
    args = parser.parse_args(arguments)
    result: dict[str, Any] = {}
    for path in args.files:
        result |= json.loads(path.read_text().splitlines()[-1])
    show("\n\n".join([*tables(result), f"{result['hardware']}, PyTorch {result['torch']}"]))
    if args.figure:
        draw_scaling(result, args.figure)


if __name__ == "__main__":
    main()
