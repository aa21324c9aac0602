"""The results of a sweep: a table, the best config as an experiment, figures of its history and of what mattered."""

import math
from itertools import accumulate
from pathlib import Path
from typing import Any

import optuna
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from omegaconf import DictConfig, OmegaConf
from optuna.trial import FrozenTrial, TrialState

from scripts.sweep.file import Sweep, parse
from src.core.errors import CONF
from src.core.multirun import print_table
from src.core.output import show
from src.report.figures import COLOURS, bar_style, new_figure, without_box

NOT_IN_AN_EXPERIMENT = ("experiment", "logger", "data_dir", "cache_dir")


def report(study: optuna.Study, sweep: Sweep, folder: Path) -> None:
    """Show the table of the trials so far, and write the files."""
    trials = sorted(study.get_trials(deepcopy=False), key=lambda trial: _rank(trial, sweep.goal))
    names = _short_names(sweep.searched)
    print_table([_row(trial, names) for trial in trials], ["trial", *names.values(), "score", "s"])
    running = [str(trial.number) for trial in trials if trial.state == TrialState.RUNNING]
    if running:
        show(f"still running elsewhere: {', '.join(running)}")
    if not study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        show(f"no trial has a score; the output of the first one is in {folder / '0' / 'output.txt'}")
        return
    best = write_best(study.best_trial, sweep, folder, len(trials))
    draw_history(trials, sweep).savefig(folder / "history.png")
    importance = importances(study, sweep)
    if importance:
        draw_importance(importance, sweep).savefig(folder / "importance.png")
    show(f"{folder}: history.png, {'importance.png, ' * bool(importance)}{best.relative_to(folder)}; to use that:")
    show(f"  python train.py --config-dir {folder} experiment={best.stem}   (or copy it to conf/experiment)")


def _rank(trial: FrozenTrial, goal: str) -> tuple[int, float]:
    """Sort the best first, then the trials that were stopped early, failed, or still run."""
    order = [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, TrialState.RUNNING, TrialState.WAITING]
    if trial.value is None:
        return order.index(trial.state), math.inf
    return order.index(trial.state), -trial.value if goal == "maximize" else trial.value


def _short_names(keys: list[str]) -> dict[str, str]:
    """Shorten each key to its last part, where no other key has the same."""
    last = [key.split(".")[-1] for key in keys]
    return {key: short if last.count(short) == 1 else key for key, short in zip(keys, last, strict=True)}


def _row(trial: FrozenTrial, names: dict[str, str]) -> dict[str, Any]:
    words = {TrialState.PRUNED: " (stopped)", TrialState.FAIL: "failed", TrialState.RUNNING: "running"}
    score = f"{trial.value:.4g}" if trial.value is not None else ""
    seconds = trial.user_attrs.get("seconds")
    return {
        "trial": str(trial.number),
        **{short: trial.params.get(key, "-") for key, short in names.items()},
        "score": score + words.get(trial.state, ""),
        "s": "-" if seconds is None else f"{seconds:.0f}",
    }


def write_best(trial: FrozenTrial, sweep: Sweep, folder: Path, num_trials: int) -> Path:
    """Write FOLDER/experiment/NAME_best.yaml: the sweep's experiment with the best trial's values."""
    chosen = {**sweep.fixed, **{name: str(value) for name, value in trial.params.items()}}
    values = DictConfig({})
    defaults: list[Any] = [chosen["experiment"]]
    for key, text in chosen.items():
        key, value = key.lstrip("+"), parse(f"{key}={text}").value()
        if key in NOT_IN_AN_EXPERIMENT:
            continue
        if (CONF / key).is_dir():
            defaults.append({f"override /{key}": value})
        else:
            OmegaConf.update(values, key, value)
    path = folder / "experiment" / f"{folder.name}_best.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        f"# @package _global_\n# The best of {num_trials} trials of {sweep.path}, number {trial.number},"
        f" {trial.user_attrs['seconds']:.0f} s: {sweep.metric} {trial.value:.4g}.\n"
        f"{OmegaConf.to_yaml(OmegaConf.create({'defaults': [*defaults, '_self_']}))}\n{OmegaConf.to_yaml(values)}"
    )
    return path


def importances(study: optuna.Study, sweep: Sweep) -> dict[str, float]:
    """Estimate each parameter's share in the differences of the scores (PED-ANOVA); empty for too few trials."""
    scores = {trial.value for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))}
    if len(scores) < 4 or len(sweep.searched) < 2:
        return {}
    return optuna.importance.get_param_importances(study, params=sweep.searched)


def _scores(trials: list[FrozenTrial], state: TrialState) -> dict[int, float]:
    """Collect the scores of the trials in one state, by number."""
    scored = sorted(trials, key=lambda trial: trial.number)
    return {trial.number: trial.value for trial in scored if trial.state == state and trial.value is not None}


def draw_history(trials: list[FrozenTrial], sweep: Sweep) -> Figure:
    """Draw each trial's score, and the best so far."""
    figure = new_figure(8, 4.5)
    axes = figure.add_subplot()
    complete = _scores(trials, TrialState.COMPLETE)
    stopped = _scores(trials, TrialState.PRUNED)
    better = max if sweep.goal == "maximize" else min
    best = list(accumulate(complete.values(), better))
    axes.step(list(complete), best, where="post", color=COLOURS[1], label="best so far")
    axes.plot(list(complete), list(complete.values()), "o", color=COLOURS[0], label="trial")
    if stopped:
        axes.plot(list(stopped), list(stopped.values()), "x", color="0.5", label="stopped early, its last score")
    axes.set(xlabel="trial", ylabel=sweep.metric)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    without_box(axes)
    axes.set_title(f"{sweep.metric} of each trial: {best[-1]:.4g} at best", loc="left")
    axes.legend(frameon=False)
    figure.tight_layout()
    return figure


def draw_importance(shares: dict[str, float], sweep: Sweep) -> Figure:
    """Draw a bar for each parameter, the most important on top."""
    figure = new_figure(8, 1.2 + 0.4 * len(shares))
    axes = figure.add_subplot()
    names = sorted(shares, key=shares.__getitem__)
    bars = axes.barh(names, [shares[name] for name in names], **bar_style(0))
    axes.bar_label(bars, [f" {shares[name]:.0%}" for name in names])
    axes.set_xlim(0, 1.1 * max(shares.values()))
    axes.set_xticks([])
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.set_title(f"share of each parameter in {sweep.metric} (PED-ANOVA)", loc="left")
    figure.tight_layout()
    return figure
