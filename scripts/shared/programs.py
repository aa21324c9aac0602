"""The programs of this project, started as a user does."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from src.core.errors import ROOT, ConfigError


def run_program(program: str, overrides: Sequence[str], threads: int | None = None) -> None:
    """Run train.py or predict.py with these overrides, to its end.

    Args:
        program: its file in the root folder.
        threads: of torch; None: as in this process.

    Raises:
        ConfigError: it failed; the message is what it said last.
    """
    environment = os.environ | ({} if threads is None else {"OMP_NUM_THREADS": str(threads)})
    command = [sys.executable, str(ROOT / program), *overrides]
    done = subprocess.run(command, check=False, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr.strip() or "no error message").splitlines()[-1].removeprefix("error: ")
        raise ConfigError(f"{program} did not run: {said}")


def metrics_of(folder: Path) -> dict[str, Any]:
    """The scores and times that a run has left in its folder."""
    return json.loads((folder / "metrics.json").read_text())
