"""Makes one page over several runs: a sweep, a multirun, an ablation.

    python -m scripts.compare_runs RUNS ... [--out compare.html]

RUNS are folders of runs, or folders that hold some, as a multirun's does. Runs that differ only in their seed count as
one setting. The script reads what the runs have left; it lists runs that are still going separately.
"""

from collections.abc import Sequence
from pathlib import Path

from scripts.shared.arguments import command_line
from src.core.explain import blamed_on, readable_errors
from src.core.output import show
from src.report.compare.page import write_comparison


def main(arguments: Sequence[str] | None = None) -> None:
    """Exit with status 1, and a line that says why, if there is nothing to compare."""
    parser = command_line("compare_runs", __doc__)
    parser.add_argument("runs", nargs="+", help="folders")
    parser.add_argument("--out", type=Path, default=Path("compare.html"), help="the page")
    args = parser.parse_args(arguments)
    with readable_errors("train"):
        with blamed_on(f"a run in {', '.join(args.runs)}"):
            write_comparison(args.runs, args.out)
        show(args.out)


if __name__ == "__main__":
    main()
