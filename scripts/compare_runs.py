"""One page over several runs: a sweep, a multirun, an ablation.

    python -m scripts.compare_runs RUNS ... [--out compare.html]

RUNS: folders of runs, or folders that hold some, as of a multirun. Runs that differ in their seed alone count as one
setting. It reads what the runs have left; one that is still going is listed apart.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from src.core.explain import readable_errors
from src.report.compare.page import write_comparison


def main() -> None:
    """Exit status 1, and a line that says why, if there is nothing to compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="folders")
    parser.add_argument("--out", type=Path, default=Path("compare.html"), help="the page")
    arguments = parser.parse_args()
    with readable_errors("train"):
        write_comparison(arguments.runs, arguments.out)
        print(arguments.out)


if __name__ == "__main__":
    main()
