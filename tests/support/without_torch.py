"""Runs the program that its first argument names, a file or a module; exit status 99 if that has imported torch."""

import runpy
import sys
from pathlib import Path

sys.argv.pop(0)
is_file = sys.argv[0].endswith(".py")
sys.path[0] = str(Path(sys.argv[0] if is_file else __file__).parents[0 if is_file else 2])
status = None
try:
    (runpy.run_path if is_file else runpy.run_module)(sys.argv[0], run_name="__main__")
except SystemExit as end:
    status = end.code
sys.exit(99 if "torch" in sys.modules else status)
