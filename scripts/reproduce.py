"""Measures rows of README's tables again: trains each with its seeds, and shows it beside what was recorded.

    python -m scripts.reproduce digits adult data_dir=PATH [--write]
    python -m scripts.reproduce all data_dir=PATH --write
    python -m scripts.reproduce --write

key=value as for train.py, for every run; runs lie in OUT/ROW/SEED. docs/results.yaml has the rows: command, seeds,
metrics, and what was measured, when and on what. --write records there what came out, and makes README's tables from
it.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from scripts.benchmark_scaling.processes import hardware
from src.core.errors import ROOT, ConfigError, nearest
from src.core.explain import readable_errors

RESULTS, README = ROOT / "docs" / "results.yaml", ROOT / "README.md"
MIRRORED = "mirrored/accuracy"  # test/accuracy of the best checkpoint with model.flip_tta=true
HEADER = (
    "# README's tables are made from this file; `python -m scripts.reproduce ROW --write` writes what is measured.\n"
)
PLACES = ("data_dir", "cache_dir", "model.backbone")  # what a recorded row may be given: it changes no number
LABELS = {"auroc": "AUROC ", "rmse": "RMSE ", "mape": "MAPE "}
# Mean and standard deviation over the seeds, if there are several, by metric.
Scores = dict[str, list[float | None]]


def measure(name: str, row: Mapping[str, Any], overrides: Sequence[str], out: Path) -> dict[str, Any]:
    """Train a row's command with each of its seeds; what came of it. Raises ConfigError if a run fails."""
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
    machine = {key: str(value) for key, value in hardware().items()}  # torch's version is a class of its own
    return {"date": f"{date.today()}", **machine, "threads": threads, "scores": means}


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def _run(name: str, row: Mapping[str, Any], overrides: Sequence[str], folder: Path) -> dict[str, Any]:
    """metrics.json of a run, the way a user starts it."""
    command = [sys.executable, str(ROOT / "train.py"), *overrides, f"run_dir={folder.resolve()}", "overwrite=true"]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip() or "no error message").splitlines()[-1].removeprefix("error: ")
        needs = f"; {name} needs {row['data']}: data_dir=PATH" if "data" in row else ""
        raise ConfigError(f"{name} did not run: {said}{needs}")
    return json.loads((folder / "metrics.json").read_text())


# ---- tables ----


def in_words(metric: str, score: Sequence[float | None]) -> str:
    """`93.27 ± 0.08 %`, `AUROC 0.9295 ± 0.0002`, `1.4 s`: the mean to the first digit of the deviation."""
    mean, deviation = score
    assert mean is not None
    kind = metric.split("/")[1]
    if metric.startswith("time/"):
        return f"{mean:,.{int(mean < 10)}f} s"
    if metric.endswith("_per_second"):
        return f"{float(f'{mean:.3g}'):,.0f}"
    factor, unit = (100, " %") if kind == "accuracy" else (1, "")
    if not deviation:
        return f"{LABELS.get(kind, '')}{mean * factor:.3g}{unit}"
    places = max(-int(f"{deviation * factor:.0e}".split("e")[1]), 1 if unit else 0)
    return f"{LABELS.get(kind, '')}{mean * factor:.{places}f} ± {deviation * factor:.{places}f}{unit}"


def line(name: str, row: Mapping[str, Any], columns: Mapping[str, Sequence[str]]) -> str:
    """A row in Markdown, from what is recorded of it."""
    scores = row.get("measured", {}).get("scores", {})
    cells = [" / ".join(in_words(m, scores[m]) for m in metrics if m in scores) for metrics in columns.values()]
    if not scores:
        cells[0] = "not yet measured"
    return " | ".join([f"| {row.get('label', f'`{name}`')}", row["net"], *cells]) + " |"


def table(spec: Mapping[str, Any]) -> str:
    """A table in Markdown."""
    heads = [spec["title"], "net", *spec["columns"]]
    lines = [line(name, row, spec["columns"]) for name, row in spec["rows"].items()]
    return "\n".join([f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}", *lines])


def with_tables(text: str, results: Mapping[str, Any]) -> str:
    """A text with each table between its marks, `<!-- results: NAME -->` and `<!-- end -->`."""
    for name, spec in results.items():
        marks = rf"(<!-- results: {name} -->\n).*?(\n<!-- end -->)"
        text, count = re.subn(marks, lambda found, spec=spec: found[1] + table(spec) + found[2], text, flags=re.DOTALL)
        if count != 1:
            raise ConfigError(
                f"README.md must have <!-- results: {name} --> ... <!-- end --> once, got {count} of them"
            )
    return text


def compared(new: Scores, old: Scores) -> str:
    """How far each score is from the recorded one: in its standard deviations, or in percent where it has none."""
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


# ---- the program ----


def find_rows(names: Sequence[str], results: Mapping[str, Any]) -> dict[str, str]:
    """The table of each row named; `all` is all of them that a CPU can do. Raises ConfigError for one there is not."""
    tables = {name: key for key, spec in results.items() for name in spec["rows"]}
    rows = {name: results[key]["rows"][name] for name, key in tables.items()}
    for name in names:
        if name not in tables and name != "all":
            raise ConfigError(f"there is no row {name}{nearest(name, tables)}; there are {', '.join(tables)}")
    chosen = [name for name, row in rows.items() if "measured" in row] if "all" in names else names
    return {name: tables[name] for name in chosen}


def reproduce(words: Sequence[str], write: bool, out: Path, results_path: Path, readme: Path) -> None:
    """Measure the rows among the words and show them; record them and renew README's tables if `write`."""
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
        print(line(name, {**row, "measured": measured}, spec["columns"]))
        if old:
            print(line(name, row, spec["columns"]), f" recorded {old['date']}: {old['hardware']}")
        print(compared(measured["scores"], old["scores"] if old else {}), flush=True)
        if write:
            row["measured"] = measured
            results_path.write_text(HEADER + yaml.safe_dump(results, sort_keys=False, allow_unicode=True, width=110))
    if write:
        readme.write_text(with_tables(readme.read_text(), results))
    if failed:
        raise ConfigError("\n".join(failed))


def main(arguments: list[str]) -> None:
    """Measure what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="ROW or key=value")
    parser.add_argument("--write", action="store_true", help="record it, and renew README's tables")
    parser.add_argument("--out", type=Path, default=Path("runs/reproduce"), help="for the runs")
    args = parser.parse_intermixed_args(arguments)
    if not args.words and not args.write:
        parser.error("name a row of docs/results.yaml, or all")
    with readable_errors("train"):
        reproduce(args.words, args.write, args.out, RESULTS, README)


if __name__ == "__main__":
    main(sys.argv[1:])
