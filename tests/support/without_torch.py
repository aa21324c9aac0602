"""Runs the program that its first argument names; exit status 99 if that has imported torch."""

import runpy
import sys
from pathlib import Path

sys.argv.pop(0)
sys.path[0] = str(Path(sys.argv[0]).parent)
status = None
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as end:
    status = end.code
sys.exit(99 if "torch" in sys.modules else status)
