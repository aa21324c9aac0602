"""The page over several runs: the answer, the tables, the pictures."""

import os
from collections.abc import Sequence
from pathlib import Path

from src.report.compare import table as compare_table
from src.report.compare.answer import opening
from src.report.compare.curves import curves
from src.report.compare.figures import pictures
from src.report.compare.run import runs_in
from src.report.compare.settings import compare
from src.report.page import render


def write_comparison(paths: Sequence[str], out: Path) -> None:
    """Write the page over the runs in or below these folders, whole or not at all.

    Raises ConfigError for a bad folder, or if there is nothing to compare.
    """
    found = compare(runs_in(paths))
    folder = out.absolute().parent
    folder.mkdir(parents=True, exist_ok=True)
    sections = [
        compare_table.settings(found, folder),
        pictures(found),
        curves(found),
        compare_table.without_score(found, folder),
    ]
    top = os.path.commonpath([run.folder.parent for run in found.runs])
    title = f"Comparison of {len(found.runs)} runs: {Path(*Path(top).parts[-2:])}"
    staged = out.with_suffix(".tmp")
    staged.write_text(render(title, opening(found), [part for part in sections if part]), encoding="utf-8")
    os.replace(staged, out)
