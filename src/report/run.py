"""The report of one run, made from the files of its folder and from what a view shows of its model."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import pytorch_lightning as pl
import torch
from markupsafe import Markup
from pytorch_lightning.utilities.seed import isolate_rng

from src.core.errors import ConfigError
from src.core.files import write_text
from src.core.output import warn
from src.core.run_dir import RunDir
from src.core.saved_config import has_scoring, read_saved_config
from src.report.curves import training_curves
from src.report.page import fill, render
from src.report.parts import Plot, Prose, Section
from src.report.wording import cell, duration, metric_label, metric_title

# Title and description of the images that runs leave in their folder.
SAVED_IMAGES = {
    "lr_finder": ("Learning rate search", "Loss against learning rate, with the rates that each rule suggests."),
    "bptt_finder": ("Search for bptt", "Speed, memory and gradient norm against the length of windows."),
    "batch": ("The first batch, as the net sees it", "Images of the first training batch with their labels."),
    "confusion_matrix": ("Confusion matrix", "How often each class was mistaken for each other class."),
}


# Of a table's classes, of a table's values, of a language model.
INSTEAD_OF_LOSS = ("auroc", "rmse", "perplexity")

Subject: TypeAlias = tuple[pl.LightningModule, pl.LightningDataModule]


class View(Protocol):
    """What a domain adds to the report: ImageView, TableView, TextView."""

    def sections(self, model: pl.LightningModule, datamodule: pl.LightningDataModule) -> list[Section]: ...


def sections_of(view: View, subject: Callable[[], Subject]) -> list[Section]:
    """What a view shows of a model and its data. A failure becomes a section and a warning: the run goes on.

    The view gets the model in evaluation mode and may compute gradients. Random generators are restored afterwards.
    """
    name = type(view).__name__
    try:
        model, datamodule = subject()
        with isolate_rng(), torch.inference_mode(False):  # which allows gradients again
            return view.sections(model.eval(), datamodule)
    except Exception as error:  # of any kind
        words = in_one_line(error)
        warn(f"the report lacks what {name} shows of the model ({words})")
        return [Section("What the model has learned", [Prose(f"{name} failed: {words}")])]


def in_one_line(error: Exception) -> str:
    """An error's kind and message."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def write_report(run_dir: Path, sections: Sequence[Section]) -> Path:
    """Write run_dir/report.html from the folder's files and a view's sections; returns its path."""
    path = RunDir(run_dir).report_html
    write_text(path, report_page(run_dir, sections))
    return path


def report_page(run_dir: Path, sections: Sequence[Section]) -> str:
    """The page: the scores, the curves, the folder's images, the view's sections, the config."""
    run = RunDir(run_dir)
    saved = read_saved_config(run.config_yaml)
    if not has_scoring(saved):
        raise ConfigError(f"{run.config_yaml} is not the config of a run: it lacks scoring.monitor")
    text, monitor = run.config_yaml.read_text(encoding="utf-8"), saved["scoring"]["monitor"]
    found = [training_curves(run.metrics_csv, monitor), saved_images(run_dir, bool(sections))]
    config = Markup("<details><summary>config.yaml</summary><pre>{}</pre></details>").format(text)
    last = Section("Configuration", [Prose(config)], "All settings of this run, with the defaults.")
    return render(
        "/".join(run_dir.absolute().parts[-2:]),
        opening(run, monitor),
        [*(section for section in found if section is not None), *sections, last],
    )


def opening(run: RunDir, monitor: str) -> Markup:
    """The scores, the command, the time, the machine."""
    metrics = run.metrics()
    ranked = sorted((name for name in metrics if name.startswith(("test/", "val/"))), key=lambda n: _rank(n, monitor))
    scores = [{"name": metric_label(name), "value": _score(metrics[name])} for name in ranked]
    return fill(
        "run.html.jinja",
        answer=scores[0] if scores else None,
        scores=scores[1:],
        is_whole="time/fit_s" in metrics or not scores,
        command=run.command(),
        rows=rows(metrics, run.environment()),
    )


def _rank(name: str, monitor: str) -> tuple[bool, bool, bool, str]:
    """The score that chose the checkpoint comes first, or what is read in place of a loss; test before validation."""
    kind, chosen = (text.partition("/")[2] for text in (name, monitor))
    is_headline = kind in INSTEAD_OF_LOSS if chosen == "loss" else kind == chosen
    return not is_headline, kind != chosen, name.startswith("val/"), name


def _score(value: float | None) -> str:
    """metrics.json holds null for NaN."""
    return "not a number" if value is None else cell(value)


def rows(metrics: dict[str, Any], environment: dict[str, Any]) -> list[tuple[str, str]]:
    """Names and values of what is known about the run."""
    found = [("Time", duration(metrics.get("time/fit_s")))]
    if "train/steps" in metrics:
        found.append(("Length", f"{metrics['train/steps']:,} steps, {metrics['train/epochs']} epochs"))
    speed = next((name for name in metrics if name.endswith("_per_second")), None)
    if speed and metrics[speed]:
        found.append(("Speed", f"{metrics[speed]:,.0f} {metric_title(speed.partition('/')[2]).lower()}"))
    if metrics.get("memory/peak_mb"):
        found.append(("Peak memory", f"{metrics['memory/peak_mb']:,.0f} MB"))
    names = ("hardware", "precision", "software", "commit", "began")
    found += [(name.capitalize(), environment.get(name)) for name in names]
    return [(name, text) for name, text in found if text]


def saved_images(run_dir: Path, has_view: bool) -> Section | None:
    """The PNGs that the run has written; not its confusion matrix if a view draws one."""
    paths = [path for path in sorted(run_dir.glob("*.png")) if not (has_view and path.stem == "confusion_matrix")]
    found = []
    for path in paths:
        title, alt = SAVED_IMAGES.get(path.stem, (metric_title(path.stem), f"The image {path.name} of the run."))
        found.append(Plot(title, path.read_bytes(), alt))
    return Section("Images from the run", found) if found else None
