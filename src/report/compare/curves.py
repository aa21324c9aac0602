"""How the trainings of a comparison went: one plot for all settings, each the mean over its seeds."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from src.report.compare.settings import Comparison
from src.report.curves import spans_decades, thinned
from src.report.figures import COLOURS, line_style, new_figure, without_box
from src.report.parts import Plot, Section
from src.report.wording import shortened

NUM_STYLED = len(COLOURS)  # the best settings, which have a line style of their own
WIDTH, PLOT_HEIGHT, LINE_HEIGHT = 4.9, 2.9, 0.2  # inches: of the figure, of the plot, of a line of the legend
NOTE = (
    "Each line is the mean over a setting's seeds, up to the step that all of them have reached. The band reaches from "
    "the lowest to the highest seed: if two bands overlap, the difference may be chance."
)


def setting_curves(found: Comparison) -> Section | None:
    """Plots of the training loss, the validation loss and the metric; None if no run has logged them."""
    names = list(dict.fromkeys(["train/loss", "val/loss", found.metric]))
    logged = [[run.curves(names) for run in setting.runs] for setting in found.settings]
    plots = []
    for name in names:
        bands = {}
        for rank, runs in enumerate(logged):
            seeds = [run[name] for run in runs if name in run]
            if seeds:
                bands[rank] = seed_band(seeds, is_noisy=name == "train/loss")
        if bands:
            plots.append(_plot(found, name, bands))
    return Section("How the trainings went", plots, NOTE) if plots else None


def seed_band(seeds: Sequence[pd.Series], is_noisy: bool) -> pd.DataFrame:
    """The mean, lowest and highest of curves by step, where all of them are known; smoothed if long and noisy."""
    table = pd.concat(seeds, axis=1).sort_index().interpolate(method="index", limit_area="inside").dropna()
    band = pd.DataFrame({"mean": table.mean(axis=1), "low": table.min(axis=1), "high": table.max(axis=1)})
    return thinned(band.ewm(span=len(band) / 15).mean() if is_noisy and len(band) > 30 else band)


def _plot(found: Comparison, name: str, bands: dict[int, pd.DataFrame]) -> Plot:
    settings = {rank: found.settings[rank].words(found.keys) for rank in bands if rank < NUM_STYLED}
    labels = {rank: f"{rank + 1}. {shortened(words, 52)}" for rank, words in settings.items()}
    ends = (f"{label} ends at {bands[rank]['mean'].iloc[-1]:.4g}" for rank, label in labels.items() if len(bands[rank]))
    others = len(bands) - len(labels)
    note = f"The thin grey lines are the {others} settings of lower rank." if others else ""
    return Plot(name, _figure(bands, labels, name), f"{name} over the steps: {'; '.join(ends)}.", note)


def _figure(bands: dict[int, pd.DataFrame], labels: dict[int, str], name: str) -> Figure:
    legend = LINE_HEIGHT * len(labels) + 0.1
    height = PLOT_HEIGHT + legend
    figure = new_figure(WIDTH, height)
    axes = figure.add_axes((0.14, (legend + 0.5) / height, 0.83, (PLOT_HEIGHT - 0.6) / height))
    for rank, band in bands.items():
        _draw_band(axes, rank, band, labels.get(rank))
    if name.endswith("loss") and spans_decades([pd.Series(band["mean"]) for band in bands.values() if len(band)]):
        axes.set_yscale("log")
    axes.set_xlabel("step")
    without_box(axes)
    figure.legend(
        loc="lower left", bbox_to_anchor=(0.02, 0), frameon=False, fontsize=9, handlelength=3.5, labelspacing=0.3
    )
    return figure


def _draw_band(axes: Axes, rank: int, band: pd.DataFrame, label: str | None) -> None:
    steps, mean = band.index.to_numpy(), band["mean"].to_numpy()
    if label is None:
        axes.plot(steps, mean, color="#999999", lw=0.7, zorder=1, rasterized=True)
        return
    style = line_style(rank)
    marker = "o" if len(steps) <= 20 else ""  # a single point has no line
    axes.plot(steps, mean, **style, lw=1.8, marker=marker, ms=3.5, label=label, zorder=3)
    axes.fill_between(steps, band["low"].to_numpy(), band["high"].to_numpy(), color=style["color"], alpha=0.15, lw=0)
