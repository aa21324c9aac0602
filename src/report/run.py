"""The report of one run, made from the files of its folder and from what a view of its model shows."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import pytorch_lightning as pl
import torch
import yaml
from markupsafe import Markup
from pytorch_lightning.utilities.seed import isolate_rng

from src.core.files import write_text
from src.core.run_dir import RunDir
from src.report.curves import curves, in_words
from src.report.page import cell, fill, render
from src.report.parts import Picture, Prose, Section

KNOWN = {
    "lr_finder": ("The search for a learning rate", "Loss against learning rate, with the rates that rules suggest."),
    "bptt_finder": ("The search for bptt", "Speed, memory and gradient norm by the length of windows."),
    "batch": ("The first batch, as the net sees it", "Pictures of the first training batch with their labels."),
    "confusion_matrix": ("Confusion matrix", "How often each class was taken for each other one."),
}


Subject: TypeAlias = tuple[pl.LightningModule, pl.LightningDataModule]


class View(Protocol):
    """What a domain adds to the report: ImageView, TableView, TextView."""

    def sections(self, model: pl.LightningModule, datamodule: pl.LightningDataModule) -> list[Section]: ...


def sections_of(view: View, subject: Callable[[], Subject]) -> list[Section]:
    """What a view shows of a model and its data. A failure says so, there and on stderr: it harms no run's results.

    The model is in eval mode, gradients can be had, and random generators are as before afterwards.
    """
    name = type(view).__name__
    try:
        model, datamodule = subject()
        with isolate_rng(), torch.inference_mode(False):  # which lets gradients be, too
            return view.sections(model.eval(), datamodule)
    except Exception as error:  # of whatever kind
        words = in_one_line(error)
        sys.stderr.write(f"warning: the report lacks what {name} shows of the model ({words})\n")
        return [Section("What the model has learned", [Prose(f"{name} could not show it: {words}")])]


def in_one_line(error: Exception) -> str:
    """An error's kind and message."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def write_report(run_dir: Path, sections: Sequence[Section]) -> Path:
    """Write run_dir/report.html, whole or not at all, from the folder's files and a view's sections."""
    path = RunDir(run_dir).report_html
    write_text(path, report(run_dir, sections))
    return path


def report(run_dir: Path, sections: Sequence[Section]) -> str:
    """The page: the answer, the curves, the folder's pictures, the view's sections, the config."""
    text = RunDir(run_dir).config_yaml.read_text(encoding="utf-8")
    scoring = yaml.safe_load(text)["scoring"]
    found = [curves(RunDir(run_dir).metrics_csv, scoring["monitor"]), pictures(run_dir, bool(sections))]
    config = Markup("<details><summary>config.yaml</summary><pre>{}</pre></details>").format(text)
    last = Section("Configuration", [Prose(config)], "All choices of this run, those of the defaults among them.")
    shown = [section for section in found if section is not None]
    return render(
        "/".join(run_dir.absolute().parts[-2:]), opening(run_dir, scoring["monitor"]), [*shown, *sections, last]
    )


# ---- the opening ----


def opening(run_dir: Path, monitor: str) -> Markup:
    """The scores, the time, the command, the machine."""
    run = RunDir(run_dir)
    metrics = run.metrics()
    ranked = sorted((name for name in metrics if name.startswith(("test/", "val/"))), key=lambda n: _rank(n, monitor))
    scores = [{"name": _words(name), "value": _score(metrics[name])} for name in ranked]
    return fill(
        "run.html.jinja",
        answer=scores[0] if scores else None,
        scores=scores[1:],
        is_whole="time/fit_s" in metrics or not scores,
        command=run.command(),
        facts=facts(metrics, run.environment()),
    )


def _rank(name: str, monitor: str) -> tuple[bool, bool, str]:
    """The score that chose the checkpoint first, of the test before the validation."""
    return name.partition("/")[2] != monitor.partition("/")[2], name.startswith("val/"), name


def _score(value: float | None) -> str:
    """A number that is none is null in metrics.json."""
    return "not a number" if value is None else cell(value)


def _words(name: str) -> str:
    split, _, score = name.partition("/")
    return f"{in_words(score)}, {'validation' if split == 'val' else split}"


def facts(metrics: dict[str, Any], environment: dict[str, Any]) -> list[tuple[str, str]]:
    """Names and values, of those that are known."""
    speed = next((name for name in metrics if name.endswith("_per_second")), None)
    found = [
        ("Time", duration(metrics.get("time/fit_s"))),
        (
            "Length",
            f"{metrics['train/steps']:,} steps, {metrics['train/epochs']} epochs" if "train/steps" in metrics else None,
        ),
    ]
    if speed and metrics[speed]:
        found.append(("Speed", f"{metrics[speed]:,.0f} {in_words(speed.partition('/')[2]).lower()}"))
    if metrics.get("memory/peak_mb"):
        found.append(("Peak memory", f"{metrics['memory/peak_mb']:,.0f} MB"))
    found += [
        (name.capitalize(), environment.get(name)) for name in ("hardware", "precision", "software", "commit", "began")
    ]
    return [(name, text) for name, text in found if text]


def duration(seconds: float | None) -> str | None:
    """Seconds in words."""
    if seconds is None:
        return None
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


# ---- the folder's pictures ----


def pictures(run_dir: Path, has_view: bool) -> Section | None:
    """The PNGs that the run has left; a view draws its own confusion matrix."""
    paths = [path for path in sorted(run_dir.glob("*.png")) if not (has_view and path.stem == "confusion_matrix")]
    found = []
    for path in paths:
        title, alt = KNOWN.get(path.stem, (in_words(path.stem), f"The picture {path.name} of the run's folder."))
        found.append(Picture(title, path.read_bytes(), alt))
    return Section("What the run has drawn", found) if found else None
