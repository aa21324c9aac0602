"""Measures rows of README's tables again: trains each with its seeds, and shows the result beside the recorded one.

    python -m scripts.reproduce digits adult data_dir=PATH [--write]
    python -m scripts.reproduce all data_dir=PATH --write
    python -m scripts.reproduce --write

key=value is for train.py, for every run; the runs lie in OUT/ROW/SEED. docs/results.yaml has the rows: command, seeds,
metrics, and what was measured when and on what. --write records the new results there and makes README's tables.
"""

import os
import re
import statistics
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from scripts.shared.arguments import command_line
from scripts.shared.hardware import hardware
from scripts.shared.markdown import markdown_table
from scripts.shared.programs import metrics_of, run_program
from src.core.errors import ROOT, ConfigError, nearest
from src.core.explain import readable_errors
from src.core.files import write_text
from src.core.output import show

RESULTS, README = ROOT / "docs" / "results.yaml", ROOT / "README.md"
MIRRORED = "mirrored/accuracy"  # test/accuracy of the best checkpoint with model.flip_tta=true
HEADER = "# README's tables are made from this file; `python -m scripts.reproduce ROW --write` updates a row.\n"
PLACES = ("data_dir", "cache_dir", "model.backbone")  # overrides that change no number
LABELS = {"auroc": "AUROC ", "rmse": "RMSE ", "mape": "MAPE "}
# The mean and, for several seeds, the standard deviation, by metric.
Scores = dict[str, list[float | None]]


def measure(name: str, row: Mapping[str, Any], overrides: Sequence[str], out: Path) -> dict[str, Any]:
    """Train a row's command with each of its seeds; returns what to record.

    Raises:
        ConfigError: a run failed.
    """
    found: dict[str, list[float]] = {metric: [] for metric in row["metrics"]}
    for seed in row["seeds"]:
        command = [*row["overrides"], f"seed={seed}", *overrides]
        scores = _run(name, row, command, out / name / str(seed))
        if MIRRORED in found:
            again = [*command, "task=test", "model.flip_tta=true"]
            again += [f"checkpoint={(out / name / str(seed)).resolve()}/checkpoints/best.ckpt"]
            scores[MIRRORED] = _run(name, row, again, out / name / f"{seed}_mirrored")["test/accuracy"]
        for metric, values in found.items():
            values.append(scores[metric])
    spread = {metric: statistics.stdev(values) if len(values) > 1 else None for metric, values in found.items()}
    means = {metric: [_rounded(statistics.fmean(found[metric])), _rounded(spread[metric])] for metric in found}
    threads = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))
    return {"date": f"{date.today()}", **hardware(), "threads": threads, "scores": means}


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def _run(name: str, row: Mapping[str, Any], overrides: Sequence[str], folder: Path) -> dict[str, Any]:
    """Start a run as a user does; returns its metrics."""
    try:
        run_program("train.py", [*overrides, f"run_dir={folder.resolve()}", "overwrite=true"])
    except ConfigError as error:
        needs = f"; {name} needs {row['data']}: data_dir=PATH" if "data" in row else ""
        raise ConfigError(f"{name}: {error}{needs}") from error
    return metrics_of(folder)


def metric_label(metric: str, score: Sequence[float | None]) -> str:
    """Write a score as `93.27 ± 0.08 %`, `AUROC 0.9295 ± 0.0002`, `1.4 s`: up to the first digit of the deviation."""
    mean, deviation = score
    assert mean is not None
    kind = metric.split("/")[1]
    if metric.startswith("time/"):
        return f"{mean:,.{int(mean < 10)}f} s"
    if metric.endswith("_per_second"):
        return f"{float(f'{mean:.3g}'):,.0f}"
    factor, unit = (100, " %") if kind.startswith("accuracy") else (1, "")
    if not deviation:
        return f"{LABELS.get(kind, '')}{mean * factor:.3g}{unit}"
    places = max(-int(f"{deviation * factor:.0e}".split("e")[1]), 1 if unit else 0)
    return f"{LABELS.get(kind, '')}{mean * factor:.{places}f} ± {deviation * factor:.{places}f}{unit}"


def cells(name: str, row: Mapping[str, Any], columns: Mapping[str, Sequence[str]]) -> list[str]:
    """Write what is recorded of a row, column by column."""
    scores = row.get("measured", {}).get("scores", {})
    found = [" / ".join(metric_label(m, scores[m]) for m in metrics if m in scores) for metrics in columns.values()]
    if not scores:
        found[0] = "not yet measured"
    return [row.get("label", f"`{name}`"), row["net"], *found]


def table(spec: Mapping[str, Any]) -> str:
    """Write a table in Markdown."""
    rows = [cells(name, row, spec["columns"]) for name, row in spec["rows"].items()]
    return markdown_table([spec["title"], "net", *spec["columns"]], rows)


def with_tables(text: str, results: Mapping[str, Any]) -> str:
    """Put each table between its marks, `<!-- results: NAME -->` and `<!-- end -->`."""
    for name, spec in results.items():
        marks = rf"(<!-- results: {name} -->\n).*?(\n<!-- end -->)"
        text, count = re.subn(marks, lambda found, spec=spec: found[1] + table(spec) + found[2], text, flags=re.DOTALL)
        if count != 1:
            raise ConfigError(f"README.md must have <!-- results: {name} --> ... <!-- end --> once, got {count}")
    return text


def compared(new: Scores, old: Scores) -> str:
    """Write how far each score is from the recorded one: in standard deviations, or in percent if there is none."""
    lines = []
    for metric, (mean, deviation) in new.items():
        before, spread = old.get(metric, [None, None])
        if mean is None or before is None:
            lines.append(f"  {metric}: {mean}, not recorded yet")
            continue
        spread = spread or deviation
        far = (
            f"{(mean - before) / spread:+.1f} standard deviations" if spread else f"{100 * (mean / before - 1):+.1f} %"
        )
        lines.append(f"  {metric}: {mean}, recorded {before}: {far}")
    return "\n".join(lines)


def find_rows(names: Sequence[str], results: Mapping[str, Any]) -> dict[str, str]:
    """Find the table of each named row; `all` means all that have been measured.

    Raises:
        ConfigError: there is no such row.
    """
    tables = {name: key for key, spec in results.items() for name in spec["rows"]}
    rows = {name: results[key]["rows"][name] for name, key in tables.items()}
    for name in names:
        if name not in tables and name != "all":
            raise ConfigError(f"there is no row {name}{nearest(name, tables)}; there are {', '.join(tables)}")
    chosen = [name for name, row in rows.items() if "measured" in row] if "all" in names else names
    return {name: tables[name] for name in chosen}


def reproduce(words: Sequence[str], write: bool, out: Path, results_path: Path, readme: Path) -> None:
    """Measure the rows among the words and show them; if `write`, record them and update README's tables."""
    results = yaml.safe_load(results_path.read_text())
    overrides = [word for word in words if "=" in word]
    others = [word for word in overrides if word.split("=")[0] not in PLACES]
    if write and others:
        raise ConfigError(f"--write records a row as it stands: leave out {' '.join(others)}")
    failed = []
    for name, key in find_rows([word for word in words if "=" not in word], results).items():
        spec, row = results[key], results[key]["rows"][name]
        try:
            measured = measure(name, row, overrides, out)
        except ConfigError as error:
            failed.append(str(error))
            continue
        old = row.get("measured")
        show(" | ".join(cells(name, {**row, "measured": measured}, spec["columns"])))
        if old:
            show(" | ".join(cells(name, row, spec["columns"])) + f"   recorded {old['date']}: {old['hardware']}")
        show(compared(measured["scores"], old["scores"] if old else {}))
        if write:
            row["measured"] = measured
            text = yaml.safe_dump(results, sort_keys=False, allow_unicode=True, width=110)
            write_text(results_path, HEADER + text)
    if write:
        write_text(readme, with_tables(readme.read_text(), results))
    if failed:
        raise ConfigError("\n".join(failed))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the rows that the command line names."""
    parser = command_line("reproduce", __doc__)
    parser.add_argument("words", nargs="*", metavar="ROW or key=value")
    parser.add_argument("--write", action="store_true", help="record the results, and update README's tables")
    parser.add_argument("--out", type=Path, default=Path("runs/reproduce"), help="for the runs")
    args = parser.parse_intermixed_args(arguments)
    if not args.words and not args.write:
        parser.error("name a row of docs/results.yaml, or all")
    with readable_errors("train"):
        reproduce(args.words, args.write, args.out, RESULTS, README)


if __name__ == "__main__":
    main()
