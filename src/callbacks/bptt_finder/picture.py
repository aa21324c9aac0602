"""The picture of a search for bptt: speed, memory and gradient by length, each with its limit."""

from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from src.report.figures import new_figure

if TYPE_CHECKING:
    from src.callbacks.bptt_finder.search import BPTTSearch

# Okabe and Ito's colours, which all kinds of eyes tell apart.
MEASURED, SUGGESTED, LIMIT = "black", "#0072B2", "#D55E00"


def draw(search: "BPTTSearch") -> Figure:
    """Three panels over one axis of lengths: dots are what was measured, a dashed line what is allowed.

    Hollow dots are lengths that something speaks against; an upright is the suggestion.
    """
    figure = new_figure(11, 4.2)
    limits, rungs = search.limits, search.rungs
    stable = [rung.tokens_per_second for rung in rungs if not search.objection(rung)]
    panels: list[tuple[str, list[float], float | None]] = [
        ("tokens a second", [rung.tokens_per_second for rung in rungs], limits.min_speed * max(stable, default=0.0)),
        ("peak memory, MB", [rung.memory_mb for rung in rungs], limits.memory_mb),
        ("gradient norm over that of the shortest", [search.growth(rung) for rung in rungs], limits.max_growth),
    ]
    for place, (label, values, limit) in enumerate(panels):
        axes = figure.add_axes((0.065 + 0.32 * place, 0.14, 0.26, 0.72))
        _panel(axes, search, values, limit)
        axes.set(xlabel="bptt", title=label)
    axes.set(yscale="log")  # pyright: ignore[reportPossiblyUnboundVariable]
    handles, labels = axes.get_legend_handles_labels()  # pyright: ignore[reportPossiblyUnboundVariable]
    figure.legend(handles, labels, loc="upper right", ncols=4, frameon=False, bbox_to_anchor=(0.99, 1.01))
    return figure


def _panel(axes: Axes, search: "BPTTSearch", values: list[float], limit: float | None) -> None:
    lengths = [rung.bptt for rung in search.rungs]
    axes.plot(lengths, values, color="0.7", lw=1.5, zorder=1)
    for is_fine, face in ((True, MEASURED), (False, "white")):
        chosen = [place for place, verdict in enumerate(search.verdicts) if (not verdict) == is_fine]
        where: Any = ([lengths[place] for place in chosen], [values[place] for place in chosen])
        label = "will do" if is_fine else "will not"
        axes.plot(*where, "o", color=MEASURED, markerfacecolor=face, label=label)
    if limit:
        axes.axhline(limit, color=LIMIT, ls="dashed", lw=1.5, label="limit")
    if search.fine:
        best = search.suggestion
        axes.axvline(best, color=SUGGESTED, lw=2.5, alpha=0.6, zorder=0, label=f"suggested: {best}")
    axes.set_xscale("log", base=2)
    axes.set_xticks(search.ladder, [str(length) for length in search.ladder])
    axes.set_xlim(search.ladder[0] / 1.3, search.ladder[-1] * 1.3)
    axes.spines[["top", "right"]].set_visible(False)
