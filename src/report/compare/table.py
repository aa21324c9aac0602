"""The tables of a comparison: each setting with its scores, and the runs without a score."""

import math
import os
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from src.report.compare.answer import NO_BREAK, mean_and_spread
from src.report.compare.run import Run
from src.report.compare.settings import Comparison, Setting, value_text
from src.report.parts import Section, Table
from src.report.wording import cell


def settings_table(found: Comparison, folder: Path) -> Section:
    """A line for each setting, the best first. folder: where the page will be, for its links."""
    scores, costs = other_columns(found)
    rows = [
        [
            rank,
            mean_and_spread(setting, found.metric),
            runs_cell(setting, found.metric, folder),
            *(value_text(setting.values[key]) for key in found.keys),
            *(mean_and_spread(setting, name) for name in scores),
            *(None if math.isnan(setting.mean(name)) else setting.mean(name) for name in costs),
        ]
        for rank, setting in enumerate(found.settings, 1)
    ]
    note = (
        "Scores are the mean ± the sample standard deviation over seeds; other numbers are the mean. Click a number of "
        "seeds for its runs and their reports. val/... are scores at the end of the training. test/... are scores of "
        "the best checkpoint; they do not count in the ranking."
    )
    head = ["rank", found.metric, "seeds", *found.keys, *scores, *costs.values()]
    return Section("The settings, best first", [Table(f"Sorted by {found.metric}", head, rows, note)])


def other_columns(found: Comparison) -> tuple[list[str], dict[str, str]]:
    """Names of the other scores, and names of time, speed and memory with their heads."""
    names = sorted({name for run in found.runs for name in run.metrics})
    score = found.metric.partition("/")[2]
    scores = [name for name in names if name.startswith(("test/", "val/")) and name != found.metric]
    scores.sort(key=lambda name: (name.partition("/")[2] != score, not name.endswith("/loss")))
    speeds = {name: name.partition("/")[2].replace("_", NO_BREAK) for name in names if name.endswith("_per_second")}
    heads = {"time/fit_s": f"time,{NO_BREAK}s", **speeds, "memory/peak_mb": f"memory,{NO_BREAK}MB"}
    return scores, {name: head for name, head in heads.items() if name in names}


def runs_cell(setting: Setting, metric: str, folder: Path) -> Markup:
    """The number of seeds, which opens to a list of the runs."""
    runs = [(run, cell(run.metrics[metric])) for run in setting.runs] + [(run, "no score") for run in setting.unscored]
    template = Markup("seed {}: {} {}".replace(" ", NO_BREAK))
    lines = [template.format(run.config.get("seed"), score, report_link(run, folder)) for run, score in runs]
    return Markup("<details><summary>{}</summary>{}</details>").format(
        len(setting.over_seeds(metric)), Markup("<br>").join(lines)
    )


def report_link(run: Run, folder: Path) -> Markup:
    """A run's name, with a relative link to its report if it has one."""
    report = run.folder / "report.html"
    if not report.is_file():
        return Markup("{}").format(run.name)
    return Markup('<a href="{}">{}</a>').format(quote(os.path.relpath(report, folder)), run.name)


def unscored_table(found: Comparison, folder: Path) -> Section | None:
    """The runs that are not compared, and what is known of them."""
    runs = [(run, setting.words(found.keys)) for setting in found.with_unscored for run in setting.unscored]
    runs += [(run, "") for run in found.incomparable]
    if not runs:
        return None
    rows = [[report_link(run, folder), words, *_why_and_state(run, found.metric)] for run, words in runs]
    head = ["run", "setting", "why", "so far"]
    return Section("Not compared", [Table("Runs without a score to compare", head, rows)])


def _why_and_state(run: Run, metric: str) -> tuple[str, str]:
    """Why a run is not compared, and its last logged numbers."""
    own = run.metric[0]
    curves = run.curves([own, "train/loss"])
    last = f"step {max(curve.index[-1] for curve in curves.values())}" if curves else "nothing logged"
    so_far = ", ".join([last, *(f"{name} {cell(curve.iloc[-1])}" for name, curve in curves.items())])
    if own != metric:
        return f"scored by {own}", so_far
    if not run.is_whole:
        return "not finished: still running, stopped, or failed", so_far
    if metric in run.metrics:
        return f"{metric} is not a number: the training diverged", so_far
    return f"metrics.json has no {metric}", so_far
