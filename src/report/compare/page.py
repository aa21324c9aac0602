"""The page over several runs: the answer, the tables, the plots."""

import os
from collections.abc import Sequence
from pathlib import Path

from src.core.files import write_text
from src.report.compare.answer import opening
from src.report.compare.curves import setting_curves
from src.report.compare.figures import key_plots
from src.report.compare.run import runs_in
from src.report.compare.settings import compare
from src.report.compare.table import settings_table, unscored_table
from src.report.page import render


def write_comparison(paths: Sequence[str], out: Path) -> None:
    """Write the page over the runs in or below these folders.

    Raises:
        ConfigError: a folder is missing or holds no run, or there is nothing to compare.
    """
    found = compare(runs_in(paths))
    folder = out.absolute().parent
    sections = [
        settings_table(found, folder),
        key_plots(found),
        setting_curves(found),
        unscored_table(found, folder),
    ]
    top = os.path.commonpath([run.folder.parent for run in found.runs])
    title = f"Comparison of {len(found.runs)} runs: {Path(*Path(top).parts[-2:])}"
    write_text(out, render(title, opening(found), [section for section in sections if section]))
