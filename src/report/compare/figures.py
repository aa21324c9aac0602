"""Which values go with which score: parallel coordinates of all keys, and the score against each key."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from src.report.compare.settings import Comparison, is_numeric, short_names, value_text
from src.report.figures import ACCENT, new_figure, without_box
from src.report.parts import Plot, Section
from src.report.wording import cell

MAX_KEYS = 6  # for which a figure has room
VERTICAL_GAP, HORIZONTAL_GAP = 0.08, 0.3  # the smallest between ticks, as shares of the scale's length
WORST = "#999999"  # the colour of the worst setting; better ones are closer to the accent colour
PAPER = {"facecolor": "#ffffff", "edgecolor": "none", "pad": 0.8}  # behind text, in the page's own colour


class Scale:
    """Where values lie between 0 and 1, with ticks at some of them.

    Numbers lie in proportion, or by their logarithm if the largest is at least ten times the smallest. Other values
    are evenly spaced.
    """

    def __init__(self, values: Sequence[Any]) -> None:
        self.is_numeric = is_numeric(values)
        self.is_log = self.is_numeric and min(values) > 0 and max(values) / min(values) >= 10
        self.values = sorted(set(values), key=None if self.is_numeric else _by_length)
        self._places = {value: number for number, value in enumerate(self.values)}

    def position(self, value: Any) -> float:
        low, high, place = map(self._place, (self.values[0], self.values[-1], value))
        return (place - low) / (high - low) if high > low else 0.5

    def _place(self, value: Any) -> float:
        if not self.is_numeric:
            return self._places[value]
        return math.log(value) if self.is_log else value

    def ticks(self, gap: float, first: Sequence[Any] = ()) -> list[Any]:
        """Values further than gap apart: the first ones, both ends, then as many others as there is room for."""
        chosen: list[Any] = []
        for value in [*first, self.values[0], self.values[-1], *self.values]:
            if all(abs(self.position(value) - self.position(other)) > gap for other in chosen):
                chosen.append(value)
        return sorted(chosen, key=self.position)


def _by_length(value: Any) -> tuple[int, str]:
    """[32, 64] before [128, 256]."""
    return len(value_text(value)), value_text(value)


def _tick_text(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else value_text(value)


def key_plots(found: Comparison) -> Section | None:
    """A plot of all keys, and one of each key if they are few; None if no key differs."""
    if not found.keys:
        return None
    keys, left_out = list(found.keys)[:MAX_KEYS], list(found.keys)[MAX_KEYS:]
    short = short_names(found.keys)
    parallel = Plot(
        "All keys at once",
        parallel_coordinates(found, {key: short[key] for key in keys}),
        f"Parallel coordinates: a line for each of {len(found.settings)} settings through its values of "
        f"{', '.join(keys)} to its score; the best is {found.settings[0].words(found.keys)}.",
        "Each line is a setting. It goes through its value of each key to its score, the mean over seeds, with the "
        "best at the top. Better settings are thicker and bluer; the best has dots. Look for values where the thick "
        "lines meet." + f" There is no room for {', '.join(left_out)}." * bool(left_out),
    )
    singles = [
        Plot(
            f"Score by {short[key]}",
            score_against(found, key, short[key]),
            f"{found.metric} of each setting against its {key}.",
        )
        for key in (keys if not left_out else ())
    ]
    note = (
        "In the plots of a score, each dot is a setting, its bar the standard deviation over seeds, and the star the "
        "best setting. Dots above one another differ in other keys."
    )
    return Section("What the score depends on", [parallel, *singles], note if singles else "")


def parallel_coordinates(found: Comparison, keys: dict[str, str]) -> Figure:
    """A line for each setting through its values to its score. keys: with the names to write at their axes."""
    scores = [setting.mean(found.metric) for setting in found.settings]
    scales = [Scale([setting.values[key] for setting in found.settings]) for key in keys]
    scale, turn = Scale(scores), found.mode == "min"
    figure = new_figure(min(9.6, 2.4 + 1.4 * len(keys)), 4.2)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(-0.75, len(keys) + 0.35), ylim=(-0.08, 1.2))
    heights = [turn + (1 - 2 * turn) * scale.position(score) for score in scores]
    for rank in reversed(range(len(scores))):
        values = found.settings[rank].values
        path = [*(axis.position(values[key]) for axis, key in zip(scales, keys, strict=True)), heights[rank]]
        axes.plot(path, **rank_style(rank, len(scores)))
    for x, (name, axis) in enumerate(zip(keys.values(), scales, strict=True)):
        ticks = {_tick_text(value): axis.position(value) for value in axis.ticks(VERTICAL_GAP)}
        _draw_axis(axes, x, name + " (log)" * axis.is_log, ticks)
    chosen = scale.ticks(VERTICAL_GAP, scores[:1])
    ticks = {cell(value): turn + (1 - 2 * turn) * scale.position(value) for value in chosen}
    _draw_axis(axes, len(keys), found.metric, ticks)
    return figure


def rank_style(rank: int, count: int) -> dict[str, Any]:
    """The look of a setting's line: the best blue, thick and with dots, the last grey and thin."""
    share = 1 - rank / max(count - 1, 1)
    mixed = [share * blue + (1 - share) * grey for blue, grey in zip(to_rgb(ACCENT), to_rgb(WORST), strict=True)]
    best = {"lw": 4.5, "marker": "o", "ms": 9, "color": ACCENT}
    return best if rank == 0 else {"lw": 0.7 + 1.8 * share, "color": (*mixed,)}


def _draw_axis(axes: Axes, x: float, name: str, ticks: dict[str, float]) -> None:
    axes.plot([x, x], [0, 1], color="black", lw=1)
    axes.text(x, 1.1, name if len(name) < 16 else name.replace("_", "_\n"), ha="center", va="center", weight="bold")
    for text, height in ticks.items():
        axes.text(x - 0.06, height, text, ha="right", va="center", fontsize=9, bbox=PAPER)


def score_against(found: Comparison, key: str, name: str) -> Figure:
    """The score of each setting against its value of one key."""
    figure = new_figure(3.1, 2.7)
    axes = figure.add_axes((0.23, 0.28, 0.74, 0.7))
    scale = Scale([setting.values[key] for setting in found.settings])
    for rank, setting in enumerate(found.settings):
        x, y, spread = scale.position(setting.values[key]), setting.mean(found.metric), setting.spread(found.metric)
        look: dict[str, Any] = {"fmt": "o", "ms": 6} if rank else {"fmt": "*", "ms": 14, "zorder": 3}
        axes.errorbar(x, y, None if math.isnan(spread) else spread, **look, color=ACCENT, lw=1, alpha=0.8)
    axes.set_xlim(-0.15, 1.15)
    ticks = scale.ticks(HORIZONTAL_GAP if scale.is_numeric else 0.0, [found.settings[0].values[key]])
    axes.set_xticks([*map(scale.position, ticks)], [*map(_tick_text, ticks)])
    if sum(len(_tick_text(value)) for value in ticks) > 24:
        axes.tick_params("x", rotation=25)
    axes.set(xlabel=name + " (log)" * scale.is_log, ylabel=found.metric)
    without_box(axes)
    return figure
